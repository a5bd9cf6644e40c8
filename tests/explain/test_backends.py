"""Equal maps on both backends."""

import os
import subprocess
import sys
from importlib.util import find_spec

import keras
import numpy as np
import pytest

from zoo.explain.explanation import explain_batch

OTHER = {"tensorflow": "jax", "jax": "tensorflow"}
CODE = """
import sys
sys.path[:0] = sys.argv[1].split(";")
import numpy as np, zoo, keras
from builders import tiny_spec
from explain.test_backends import maps
from zoo.models.ensemble import Ensemble
model = Ensemble(Ensemble.from_spec(tiny_spec(3)).members, [2, 1, 1])
given = np.load(sys.argv[2])
model.set_weights([given[str(i)] for i in range(len(model.weights))])
np.savez(sys.argv[3], backend=keras.config.backend(), **maps(model, given["pixels"]))
"""


def maps(model, pixels):
    """All methods' maps of an ensemble; CAM's of its first member."""
    found = {}
    for target, method in ((model, "gradcam"), (model, "gradcam++"), (model, "layercam"), (model.members[0], "cam")):
        explained = explain_batch(target, pixels, [0, 1, 2, 0], method)
        found |= {f"{method} {k}": np.stack([getattr(e, k) for e in explained]) for k in ("raw", "heatmap", "logit")}
    return found


def test_maps_are_equal_on_the_other_backend(ensemble, pixels, tmp_path):
    backend = keras.config.backend()
    other = OTHER.get(backend, "-")
    if not find_spec(other):
        pytest.skip(f"no other backend than {backend} is installed")
    weights = {str(i): w for i, w in enumerate(ensemble.get_weights())}
    np.savez(tmp_path / "given.npz", pixels=pixels, **weights)
    arguments = [";".join(p for p in sys.path if p), tmp_path / "given.npz", tmp_path / "maps.npz"]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": other}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = dict(np.load(tmp_path / "maps.npz"))
    assert theirs.pop("backend") == other
    ours = maps(ensemble, pixels)
    assert len(ours) == len(theirs) == 12
    for key, values in ours.items():
        # Raw maps and logits are in logits, some of them tens: equal relative to the largest.
        scale = 1.0 if key.endswith("heatmap") else max(1.0, np.abs(values).max())
        np.testing.assert_allclose(values, theirs[key], atol=1e-4 * scale, err_msg=key)
        assert values.std() > 0.05
