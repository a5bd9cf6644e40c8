"""TensorFlow's messages at its import, which no log level of Python reaches."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

STAND_IN = """
import os
os.write(2, b"written below Python\\n")
{}
"""


def _imported(tmp_path: Path, body: str = "", **environment: str) -> subprocess.CompletedProcess:
    """A stand-in for TensorFlow is imported behind `quiet_tensorflow`."""
    (tmp_path / "tensorflow.py").write_text(STAND_IN.format(body))
    code = (
        "import importlib.util, os; from zoo.core.quiet import quiet_tensorflow; quiet_tensorflow();"
        "importlib.util.find_spec('tensorflow'); import tensorflow; os.write(2, b'afterwards\\n');"
        "print(tensorflow.__spec__.loader.__class__.__name__)"
    )
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"} | environment
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    return subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)


def test_what_the_import_writes_is_dropped_and_what_comes_later_is_shown(tmp_path):
    done = _imported(tmp_path)
    assert (done.returncode, done.stderr, done.stdout) == (0, "afterwards\n", "SourceFileLoader\n")


def test_a_failing_import_shows_what_it_wrote(tmp_path):
    done = _imported(tmp_path, "raise ImportError('libcudart is missing')")
    assert done.returncode == 1
    assert done.stderr.startswith("written below Python\n")
    assert "ImportError: libcudart is missing" in done.stderr


def test_an_import_that_is_stopped_shows_nothing(tmp_path):
    done = _imported(tmp_path, "raise KeyboardInterrupt")
    assert "KeyboardInterrupt" in done.stderr
    assert "written below Python" not in done.stderr


def test_a_stated_log_level_is_obeyed(tmp_path):
    assert _imported(tmp_path, TF_CPP_MIN_LOG_LEVEL="0").stderr == "written below Python\nafterwards\n"


def test_the_library_silences_the_import_that_it_causes_and_no_other(tmp_path):
    (tmp_path / "tensorflow.py").write_text(STAND_IN.format("level = os.environ.get('TF_CPP_MIN_LOG_LEVEL')"))
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"} | {"PYTHONPATH": path}

    def run(code: str, **more: str) -> tuple[str, str]:
        code = f"import os, sys; from zoo.core.quiet import quiet_start\n{code}"
        done = subprocess.run([sys.executable, "-c", code], env=env | more, capture_output=True, text=True)
        return done.stdout.strip(), done.stderr

    ours = "with quiet_start():\n import tensorflow\nprint(tensorflow.level, os.environ.get('TF_CPP_MIN_LOG_LEVEL'))"
    assert run(ours) == ("2 None", "")
    assert run(ours, TF_CPP_MIN_LOG_LEVEL="1") == ("1 1", "written below Python\n")
    theirs = "with quiet_start():\n pass\nimport tensorflow; print(tensorflow.level, len(sys.meta_path))"
    shown, said = run(theirs)
    assert (shown.split()[0], said) == ("None", "written below Python\n")
    nested = "with quiet_start():\n with quiet_start():\n  import tensorflow\nprint(tensorflow.level)"
    assert run(nested) == ("2", "")


def _on_tensorflow(home: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Python with TensorFlow, whose messages the caller has not asked for."""
    if not find_spec("tensorflow"):
        pytest.skip("without TensorFlow")
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    env |= {"KERAS_BACKEND": "tensorflow", "ZOO_HOME": str(home)}
    return subprocess.run([sys.executable, *arguments], env=env, capture_output=True, text=True, timeout=300)


@pytest.mark.tensorflow_only
def test_loading_a_model_in_python_writes_nothing_to_standard_error(tmp_path):
    done = _on_tensorflow(tmp_path, "-c", "import zoo; zoo.load('nih-lite')")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.tensorflow_only
def test_a_command_on_tensorflow_writes_nothing_to_standard_error(tmp_path):
    done = _on_tensorflow(tmp_path, "-m", "zoo.cli", "doctor", "--offline")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.tensorflow_only
def test_the_log_of_tensorflow_tells_errors_alone(tmp_path):
    code = (
        "from zoo.core.quiet import quiet_tensorflow; quiet_tensorflow(); import tensorflow as tf;"
        "tf.get_logger().warning('5 out of the last 24 calls'); tf.get_logger().error('an error')"
    )
    env = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert "5 out of" not in done.stderr
    assert "an error" in done.stderr
