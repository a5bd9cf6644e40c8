"""How much memory a model takes while it is built and loaded, in multiples of its weights, beside plain Keras.

Anonymous memory (RssAnon) of a fresh process, above what it has after a trivial model has run: the backend's own. The
parent reads it every millisecond, so that nothing the child does can hide a peak. Linux alone.
"""

from __future__ import annotations

import json
import os
import select
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BACKENDS = ("tensorflow", "jax")
SECTION, ROUNDS = "Memory of building and loading, 224 px", {"zoo": 3, "plain Keras": 1}

MEMBERS = ("resnet50", "efficientnetb3", "densenet121")

MAKE = """
import sys
import numpy as np
import zoo
from zoo.models.classifier import Classifier
from zoo.models.weights.files import save_safetensors, uninitialized
from zoo.config.specs import MemberSpec
for name in sys.argv[2:]:
    with uninitialized():
        model = Classifier.from_spec(MemberSpec(name), 224, 14)
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape, "float32"))
    save_safetensors(model, f"{sys.argv[1]}/{name}.safetensors")
    model.save_weights(f"{sys.argv[1]}/{name}.weights.h5")
"""

LOAD = """
import json, sys, time
import numpy as np
import zoo, keras
from contextlib import nullcontext
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import load_safetensors, uninitialized
from zoo.config.specs import EnsembleSpec, MemberSpec
inputs = keras.Input((8, 8, 3))
features = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
outputs = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features))
keras.Model(inputs, outputs).predict(np.zeros((1, 8, 8, 3), "float32"), verbose=0)
print(flush=True)
sys.stdin.readline()
folder, how, *names = sys.argv[1:]
start = time.perf_counter()
with uninitialized() if how == "zoo" else nullcontext():
    model = Ensemble.from_spec(EnsembleSpec("measured", tuple(MemberSpec(name) for name in names)))
built = time.perf_counter()
for member in model.members:
    if how == "zoo":
        load_safetensors(member, f"{folder}/{member.name}.safetensors")
    else:
        member.load_weights(f"{folder}/{member.name}.weights.h5")
loaded = time.perf_counter()
weights = sum(int(np.prod(variable.shape)) * 4 for variable in model.weights)
print(json.dumps({"weights": weights, "build": built - start, "load": loaded - built}), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the members' weights, all 0, as safetensors and as Keras' own files."""
    folder = str(tmp_path_factory.mktemp("weights"))
    subprocess.run([sys.executable, "-c", MAKE, folder, *MEMBERS], env=environment(), check=True)
    return folder


@pytest.mark.parametrize(
    "how, members", [("zoo", MEMBERS), *(("zoo", (name,)) for name in MEMBERS), ("plain Keras", MEMBERS)]
)
def test_memory(
    record: Callable[..., None], describe: Callable[..., None], weights: str, how: str, members: tuple[str, ...]
) -> None:
    describe(
        SECTION,
        "Peak anonymous memory above the backend's own after a trivial model, as a multiple of the float32 weights; "
        "the largest of some fresh processes. Seconds are medians. Plain Keras: layers draw their random start, then "
        "`load_weights` of a .weights.h5.",
    )
    found = [measure(weights, members, os.environ["KERAS_BACKEND"], how) for _ in range(ROUNDS[how])]
    row = {"model": members[0] if len(members) == 1 else "the three", "how": how, "processes": len(found)}
    row["weights (MB)"] = round(found[0]["weights"] / 1e6)
    row |= {f"{key} / weights": max(f[key] for f in found) for key in ("peak", "after")}
    record(SECTION, row | {f"{key} (s)": statistics.median(f[key] for f in found) for key in ("build", "load")})


def measure(folder: str, members: tuple[str, ...], backend: str, how: str = "zoo") -> dict[str, float]:
    """Bytes of the weights, `peak` and `after` in multiples of them, and seconds to `build` and to `load`."""
    command = [sys.executable, "-c", LOAD, folder, how, *members]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, env=environment(backend), text=True, **pipes) as child:
        child.stdout.readline()
        base = peak = anonymous(child.pid)
        child.stdin.write("\n")
        child.stdin.flush()
        while not select.select([child.stdout], [], [], 0.001)[0]:
            peak = max(peak, anonymous(child.pid))
        found = json.loads(child.stdout.readline())
        after = anonymous(child.pid)
        child.stdin.close()
    return found | {"peak": (max(peak, after) - base) / found["weights"], "after": (after - base) / found["weights"]}


def anonymous(pid: int) -> int:
    """Bytes of memory of a process that are no file's."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon:"))


def environment(backend: str | None = None) -> dict[str, str]:
    backend = backend or os.environ.get("KERAS_BACKEND", "jax")
    return os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
