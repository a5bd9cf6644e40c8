"""One process, one backend: `KERAS_BACKEND` says which; marks of the other one are skipped with a word."""

import os
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import zoo  # noqa: F401  (chooses the backend where the environment does not)

import pytest  # isort: skip
from loopback_hub import session  # isort: skip

# Keras imports huggingface_hub, which reads its environment at its import: from here on it knows the tests' Hub alone.
session.start()

pytest_plugins = ["loopback_hub.fixtures"]

BACKEND = os.environ["KERAS_BACKEND"]


def pytest_report_header() -> str:
    return f"keras backend: {BACKEND}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("tensorflow_only") and (BACKEND != "tensorflow" or not find_spec("tensorflow")):
            item.add_marker(pytest.mark.skip(reason="about TensorFlow alone"))
        if item.get_closest_marker("jax_only") and BACKEND != "jax":
            item.add_marker(pytest.mark.skip(reason="about JAX alone"))


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """On JAX a program that an earlier test compiled is read from the disk: half of the leg's time was compiling."""
    if BACKEND == "jax":
        import jax

        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("compiled")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(autouse=True)
def zoo_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Releases and caches of a test stay in its own folder."""
    home = tmp_path / "zoo-home"
    monkeypatch.setenv("ZOO_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def nih_dir() -> Path:
    """The folder of real NIH films (Data_Entry.csv, images/) that `ZOO_NIH_DIR` names."""
    folder = os.environ.get("ZOO_NIH_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set ZOO_NIH_DIR to a folder with NIH's Data_Entry.csv and images/ to run on real films")
    return Path(folder)


@pytest.fixture(scope="session")
def dicom_dir() -> Path:
    """The folder of real DICOM radiographs that `ZOO_DICOM_DIR` names."""
    folder = os.environ.get("ZOO_DICOM_DIR")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set ZOO_DICOM_DIR to a folder with real DICOM radiographs to read them")
    return Path(folder)
