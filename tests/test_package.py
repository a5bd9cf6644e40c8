"""What `import zoo` costs and offers, each looked at in a fresh process."""

import json
import re
import subprocess
import sys
from pathlib import Path

import zoo


def _fresh(code: str, **environment: str) -> str:
    import os

    env = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout


def test_the_version_stands_in_one_place() -> None:
    root = Path(__file__).parents[1]
    said = re.compile(rf"""["']{re.escape(zoo.__version__)}["']""")
    found = [path for path in (root / "zoo").rglob("*.py") if said.search(path.read_text("utf-8"))]
    assert [path.name for path in found] == ["_version.py"]
    assert not said.search((root / "pyproject.toml").read_text("utf-8"))


def test_import_loads_nothing_heavy() -> None:
    heavy = ("keras", "numpy", "pandas", "tensorflow", "jax", "torch", "PIL")
    loaded = json.loads(_fresh(f"import zoo, sys, json; print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"))
    assert loaded == []


def test_every_public_name_resolves() -> None:
    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    assert set(zoo.__all__) <= set(dir(zoo))


def test_unknown_attribute_is_an_attribute_error() -> None:
    assert not hasattr(zoo, "no_such_name")


def test_an_imported_keras_wins_over_the_choice() -> None:
    backend = zoo.core.backend.current() or __import__("keras").config.backend()
    out = _fresh(
        "import keras, zoo, os; print(keras.config.backend(), os.environ.get('KERAS_BACKEND'))", KERAS_BACKEND=backend
    )
    assert out.split()[0] == backend


def test_backend_is_the_first_installed_where_none_is_set() -> None:
    first_installed = "next(b for b in zoo.core.backend.BACKENDS if importlib.util.find_spec(b))"
    out = _fresh(f"import zoo, os, importlib.util; print(os.environ['KERAS_BACKEND'], {first_installed})")
    chosen, first = out.split()
    assert chosen == first


def test_probabilities_take_no_pandas() -> None:
    """Importing it takes as long as OpenVINO takes to load a network."""
    code = "import zoo, sys; from zoo import Predictor, load; print('pandas' in sys.modules)"
    assert _fresh(code).strip() == "False"
