"""How much memory a model takes while it is built and loaded, in multiples of its weights.

Anonymous memory (RssAnon) of a fresh process, above what it has after a trivial model has run: the backend's own. The
parent reads it every millisecond, so that nothing the child does can hide a peak. Linux alone.
"""

import json
import os
import select
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 3

MEMBERS = ("resnet50", "efficientnetb3", "densenet121")

MAKE = """
import sys
import numpy as np
import zoo
from zoo.models.classifier import Classifier
from zoo.models.weights import save_safetensors, uninitialized
from zoo.specs import MemberSpec
for name in sys.argv[2:]:
    with uninitialized():
        model = Classifier.from_spec(MemberSpec(name), 224, 14)
    for variable in model.weights:
        variable.assign(np.zeros(variable.shape, "float32"))
    save_safetensors(model, f"{sys.argv[1]}/{name}.safetensors")
"""

LOAD = """
import json, sys, time
import numpy as np
import zoo, keras
from zoo.models.ensemble import Ensemble
from zoo.models.weights import load_safetensors, uninitialized
from zoo.specs import EnsembleSpec, MemberSpec
inputs = keras.Input((8, 8, 3))
features = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
outputs = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(features))
keras.Model(inputs, outputs).predict(np.zeros((1, 8, 8, 3), "float32"), verbose=0)
print(flush=True)
sys.stdin.readline()
start = time.perf_counter()
with uninitialized():
    model = Ensemble.from_spec(EnsembleSpec("measured", tuple(MemberSpec(name) for name in sys.argv[2:])))
built = time.perf_counter()
for member in model.members:
    load_safetensors(member, f"{sys.argv[1]}/{member.name}.safetensors")
loaded = time.perf_counter()
weights = sum(int(np.prod(variable.shape)) * 4 for variable in model.weights)
print(json.dumps({"weights": weights, "build": built - start, "load": loaded - built}), flush=True)
sys.stdin.readline()
"""


def make(folder: str, members: tuple[str, ...] = MEMBERS) -> None:
    """Writes `<member>.safetensors` of zeros for each member."""
    subprocess.run(
        [sys.executable, "-c", MAKE, folder, *members],
        env=environment(os.environ.get("KERAS_BACKEND", "jax")),
        check=True,
    )


def measure(folder: str, members: tuple[str, ...], backend: str) -> dict[str, float]:
    """Bytes of the weights, `peak` and `after` in multiples of them, and seconds to `build` and to `load`."""
    command = [sys.executable, "-c", LOAD, folder, *members]
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


def environment(backend: str) -> dict[str, str]:
    return os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}


def main() -> None:
    print("## Memory\n")
    print("Peak anonymous memory of building and loading at 224 px, above the backend's own after a trivial model,")
    print("as a multiple of the float32 weights; the largest of", ROUNDS, "fresh processes. Seconds are medians.\n")
    print("| backend | model | weights (MB) | peak / weights | left / weights | build (s) | load (s) |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        make(folder)
        for backend in ("tensorflow", "jax"):
            for members in (MEMBERS, *((name,) for name in MEMBERS)):
                found = [measure(folder, members, backend) for _ in range(ROUNDS)]
                name = members[0] if len(members) == 1 else "the three"
                peak, after = (max(f[key] for f in found) for key in ("peak", "after"))
                build, load = (sorted(f[key] for f in found)[ROUNDS // 2] for key in ("build", "load"))
                cells = (
                    f"{found[0]['weights'] / 1e6:.0f}",
                    f"{peak:.2f}",
                    f"{after:.2f}",
                    f"{build:.1f}",
                    f"{load:.1f}",
                )
                print(f"| {backend} | {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
