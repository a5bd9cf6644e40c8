"""One process, one backend: `KERAS_BACKEND` says which; marks of the other one are skipped with a word."""

import os
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import zoo  # noqa: F401  (chooses the backend where the environment does not)

import pytest  # isort: skip
from loopback_hub import session  # isort: skip

# Keras imports huggingface_hub, which reads its environment at its import: from here on it knows the tests' Hub alone.
session.start()

# A shell that runs the tests in the background, or `nohup`, leaves these ignored, which commands respect: here, and in
# the children of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

pytest_plugins = ["loopback_hub.fixtures"]

BACKEND = os.environ["KERAS_BACKEND"]

#: Tests of what does not depend on the backend, by file or folder: pixels, tables, statistics, pages, protocols, files
#: of a Hub, processes, whole commands whose steps are tested on both. They get the mark `once`: `make test` runs them
#: in a leg of their own, not in one for each backend.
ONCE = (
    "app", "cli", "cluster", "config", "core/test_csv.py", "core/test_dialects.py", "core/test_errors.py",
    "core/test_file_kinds.py", "core/test_files.py", "core/test_full_disk.py", "core/test_home.py",
    "core/test_joining.py", "core/test_terminal.py", "core/test_warn.py", "dicom", "docs", "evaluation", "gate",
    "hub/test_hostile_hub.py", "hub/test_hostile_manifest.py", "hub/test_hub_errors.py", "hub/test_loopback_faults.py",
    "hub/test_loopback_hub.py", "hub/test_pins.py", "hub/test_publish.py", "hub/test_publish_faults.py",
    "hub/test_publish_refused.py", "hub/test_pull.py", "hub/test_reference.py", "hub/test_road.py",
    "hub/test_web_file.py", "inference/test_batch.py", "inference/test_resume.py", "inference/test_shards.py",
    "inference/test_writers.py", "labels", "models/ports/test_parity_backbones.py",
    "models/ports/test_parity_efficientnet.py", "models/test_inert_pickle.py", "models/test_safetensors_header.py",
    "models/test_torch_file.py", "node", "notebooks", "release/test_bounds.py", "release/test_card.py",
    "release/test_card_merge.py", "release/test_diff.py", "release/test_manifest.py", "release/test_openvino_ir.py",
    "release/test_schema.py", "release/test_tested.py", "release/test_trained_on.py", "report", "service",
    "test_audit.py", "test_benchmarks.py", "test_examples.py", "test_imports.py", "test_map.py", "test_properties.py",
    "test_repository.py", "test_soak.py", "test_versions.py", "test_wheel.py", "training/test_folds.py",
    "training/test_parallel.py", "training/test_replicas.py",
    *(f"runs/test_{name}.py" for name in (
        "ablate", "audit", "by_study", "demo", "describe", "dicom_out", "distill", "doctor", "evaluate", "gate",
        "leaks", "merge", "monitor", "plain_table", "predict_studies", "restart", "submit", "train_cache", "wheels",
    )),
    *(f"data/test_{name}.py" for name in (
        "cache", "competition", "contents", "damaged_dicom", "decode", "depth", "dicom", "dicom_header", "duplicates",
        "identity", "images", "limits", "listing", "locating", "near_duplicates", "nih", "phantoms", "plain", "public",
        "public_whole", "several", "sources", "splits", "stratify", "tables",
    )),
)  # fmt: skip


def pytest_report_header() -> str:
    return f"keras backend: {BACKEND}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    once = {here / name for name in ONCE}
    missing = sorted(str(path) for path in once if not path.exists())
    if missing:
        raise pytest.UsageError(f"ONCE in {__file__} names what is not there: {', '.join(missing)}")
    for item in items:
        if once & {item.path, *item.path.parents}:
            item.add_marker("once")
        if item.get_closest_marker("tensorflow_only") and (BACKEND != "tensorflow" or not find_spec("tensorflow")):
            item.add_marker(pytest.mark.skip(reason="about TensorFlow alone"))
        if item.get_closest_marker("jax_only") and BACKEND != "jax":
            item.add_marker(pytest.mark.skip(reason="about JAX alone"))


@pytest.fixture(scope="session", autouse=True)
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A program that JAX compiled for one test is read from the disk by the next: compiling was half of its leg.

    So do the children of tests, by the environment.
    """
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name.upper(), str(value))
            if BACKEND == "jax":
                import jax

                jax.config.update(name, value)
        yield


@pytest.fixture(scope="module")
def undrawn() -> Iterator[None]:
    """Pages without figures: drawing them takes most of the time of an evaluation, and tests/report looks at them."""
    from zoo.report import drawing

    def render(chart, folder):
        (folder / f"{chart.name}.png").touch()
        return ["<svg></svg>" for _ in chart.panels]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "render", render)
        yield


@pytest.fixture(autouse=True)
def the_backend_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command with `--backend` names it in the environment, which the children of later tests would get."""
    monkeypatch.setenv("KERAS_BACKEND", BACKEND)


@pytest.fixture(autouse=True)
def zoo_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Releases and caches of a test stay in its own folder."""
    home = tmp_path / "zoo-home"
    monkeypatch.setenv("ZOO_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def nih_dir() -> Path:
    """The folder of real NIH images (Data_Entry.csv, images/) that `ZOO_NIH_DIR` names."""
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
