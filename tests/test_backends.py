"""One release, two backends: the same logits."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from builders import tiny_release

import zoo
from zoo.release import golden, layout, manifest
from zoo.release.build import build_model
from zoo.release.read import read_release

OTHER = {"tensorflow": "jax", "jax": "tensorflow"}


def test_a_release_gives_the_same_logits_on_the_other_backend(tmp_path):
    import keras

    other = OTHER[keras.config.backend()]
    if not find_spec(other):
        pytest.skip(f"{other} is not installed")
    folder = tiny_release(tmp_path / "release", members=3)
    images = np.random.default_rng(5).integers(0, 256, (6, 32, 32, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", images)
    code = (
        "import sys, numpy as np, zoo, keras\n"
        "p = zoo.load(sys.argv[1]); x = np.load(sys.argv[2])\n"
        "print(keras.config.backend()); np.save(sys.argv[3], next(p.stream(list(x))).logits)"
    )
    arguments = [str(folder), str(tmp_path / "images.npy"), str(tmp_path / "logits.npy")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"KERAS_BACKEND": other}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == other
    ours, theirs = next(zoo.load(folder).stream(list(images))).logits, np.load(tmp_path / "logits.npy")
    assert ours.std() >= 1.0
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_a_release_written_by_tensorflow_loads_without_it():
    folder = os.environ.get("ZOO_TEST_RELEASE")
    if not folder:
        pytest.skip("make test-jax-only sets ZOO_TEST_RELEASE to a release that TensorFlow wrote")
    assert find_spec("tensorflow") is None
    found = read_release(folder)
    logits = manifest.read_json(Path(folder) / layout.LOGITS)["logits"]["ensemble"]
    assert np.std(logits) >= 1.0
    assert golden.gap(found, build_model(found)) < golden.TOLERANCE
    predictor = zoo.load(folder)
    chances = predictor.predict([np.arange(2500, dtype=np.uint16).reshape(50, 50) // 10])
    assert chances.shape == (1, 3)
    assert len(predictor.findings([np.eye(40, dtype=np.uint8) * 200])) == 3
