"""How long until the first prediction: import, load from disk, one film; and what a random start would have cost."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 3

IMPORT = "import time; t = time.perf_counter(); import zoo; print(time.perf_counter() - t)"

BACKEND = "import time; t = time.perf_counter(); import zoo, keras; print(time.perf_counter() - t)"

COLD = """
import json, sys, time
t0 = time.perf_counter()
import zoo, keras
t1 = time.perf_counter()
model = zoo.load(sys.argv[1])
t2 = time.perf_counter()
import numpy as np
model.predict([np.arange(224 * 224, dtype=np.uint32).reshape(224, 224).astype(np.uint8)], batch_size=1)
print(json.dumps({"import": t1 - t0, "load": t2 - t1, "first": time.perf_counter() - t2}))
"""

RANDOM = """
import json, time
import zoo, keras
from zoo.catalog import CATALOG
from zoo.models.ensemble import Ensemble
import dataclasses
spec = CATALOG["xrayslam-ensemble"].spec
t = time.perf_counter()
Ensemble.from_spec(spec)
print(time.perf_counter() - t)
"""

MAKE = """
import dataclasses, sys
import zoo
from zoo.catalog import CATALOG
from zoo.evaluation.decision import Decision
from zoo.hub import release
from zoo.models.ensemble import Ensemble
spec = CATALOG["xrayslam-ensemble"].spec
release.write(sys.argv[1], Ensemble.from_spec(spec), spec, Decision(spec.findings))
"""


def run(code: str, *arguments: str, backend: str = "tensorflow") -> str:
    env = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[-1]


def main() -> None:
    print("## Load\n")
    imports = statistics.median(float(run(IMPORT)) for _ in range(2 * ROUNDS + 1))
    print(f"`import zoo`: {1000 * imports:.1f} ms (median of {2 * ROUNDS + 1}; no Keras loaded).\n")
    print("The ensemble at 224 px, random weights, one film, cold process, median of", ROUNDS, "\n")
    print("| backend | import Keras (s) | load (s) | first prediction (s) | all / import | random start alone (s) |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        release = str(Path(folder) / "release")
        run(MAKE, release)
        for backend in ("tensorflow", "jax"):
            times = [json.loads(run(COLD, release, backend=backend)) for _ in range(ROUNDS)]
            median = {k: statistics.median(t[k] for t in times) for k in times[0]}
            random = float(run(RANDOM, backend=backend))
            ratio = sum(median.values()) / median["import"]
            cells = (*(f"{median[k]:.1f}" for k in ("import", "load", "first")), f"{ratio:.1f}", f"{random:.1f}")
            print(f"| {backend} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
