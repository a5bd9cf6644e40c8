"""SIGKILL at named points: the run that goes on ends bit for bit like the one that was never killed.

Each backend is killed at half of the points: when the files of a checkpoint are written does not depend on it.

The killed one reads its images from a cache, the other the files: no image is left out, comes twice or looks otherwise.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import keras
import pytest

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")

SCRIPT = Path(__file__).parents[1] / "small_run.py"

#: One after the other, in one run of two stages of 2 x 4 steps that saves at every step.
KILLS = {
    "tensorflow": ("before_aside:2", "before_rename:2", "between_stages:2"),
    "jax": ("mid_weights:2", "best_weights:1", "after_rename:2"),
}


def start(folder: Path, run: str, films: str, point: str = "") -> subprocess.Popen[str]:
    cache = {"JAX_COMPILATION_CACHE_DIR": str(folder / "jax"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder / "films"), str(folder / run), films, point],
        env={**os.environ, **cache, "PYTHONPATH": str(SCRIPT.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_killed_at_every_awkward_point(tmp_path):
    cache = str(tmp_path / "cache")
    whole = start(tmp_path, "whole", "")
    for point in KILLS[keras.config.backend()]:
        process = start(tmp_path, "killed", cache, point)
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, f"{point}: {errors[-2000:]}"
    last = start(tmp_path, "killed", cache)
    ends = []
    for process in (whole, last):
        output, errors = process.communicate()
        assert process.returncode == 0, errors[-2000:]
        ends.append(json.loads(output.splitlines()[-1]))
    assert ends[0] == ends[1]
