"""From nothing to the first prediction: fresh processes that import, load a release from disk and read one image.

What cannot be less is importing the backend and reading the weights; all else is held against that, side by side in
rounds. JAX has compiled the network once before, as on a machine that has used it: its programs are kept.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

BACKENDS = ("tensorflow", "jax")
SECTION, ROUNDS = "From nothing to the first prediction, three members, 224 px", 5

#: Each prints the seconds of its steps, from the first line of a fresh process on.
START = "import json, sys, time\nfrom pathlib import Path\nt = [time.perf_counter()]\nrelease, image = sys.argv[1:]\n"
END = "\nt.append(time.perf_counter())\nprint(json.dumps([b - a for a, b in zip(t, t[1:])]))"
FLOOR = START + (
    "import zoo, keras\n"
    "t.append(time.perf_counter())\n"
    "for path in Path(release).glob('*.safetensors'): path.read_bytes()"
)  # fmt: skip
ZOO = START + (
    "import zoo, keras\n"
    "t.append(time.perf_counter())\n"
    "model = zoo.load(Path(release))\n"
    "t.append(time.perf_counter())\n"
    "model.predict([image])"
)  # fmt: skip
KERAS = START + (
    "import zoo, keras\n"
    "t.append(time.perf_counter())\n"
    "import numpy as np\n"
    "from PIL import Image\n"
    "from zoo.names.catalog import CATALOG\n"
    "from zoo.models.ensemble import Ensemble\n"
    "model = Ensemble.from_spec(CATALOG['xrayslam-ensemble'].spec)\n"
    "model.load_weights(Path(release) / 'plain.weights.h5')\n"
    "t.append(time.perf_counter())\n"
    "model.predict(np.asarray(Image.open(image).convert('L').resize((224, 224)))[None, ..., None], verbose=0)"
)  # fmt: skip

# The export's bytes instead of the release's: its first load wrote them.
OPENVINO_FLOOR = START + (
    "import os, zoo\n"
    "from zoo.runtimes.openvino_runtime import openvino\n"
    "openvino()\n"
    "t.append(time.perf_counter())\n"
    "for path in Path(os.environ['ZOO_HOME']).rglob('model.bin'): path.read_bytes()"
)  # fmt: skip
OPENVINO = START + (
    "import zoo\n"
    "from zoo.runtimes.openvino_runtime import openvino\n"
    "openvino()\n"
    "t.append(time.perf_counter())\n"
    "model = zoo.load(Path(release), runtime='openvino')\n"
    "t.append(time.perf_counter())\n"
    "model.predict([image])"
)  # fmt: skip
# The same graph without any of the zoo: what OpenVINO takes to open what it compiled before, and to run one image.
OPENVINO_ALONE = START + (
    "import os, zoo\n"
    "from zoo.runtimes.openvino_runtime import openvino\n"
    "library = openvino()\n"
    "t.append(time.perf_counter())\n"
    "import numpy as np\n"
    "home = Path(os.environ['ZOO_HOME'])\n"
    "graph, kept = str(next(home.rglob('model.xml'))), str(next((home / 'compiled').glob('openvino-*')))\n"
    "options = {'PERFORMANCE_HINT': 'THROUGHPUT', 'INFERENCE_PRECISION_HINT': 'f32', 'CACHE_DIR': kept}\n"
    "model = library.Core().compile_model(graph, 'CPU', options)\n"
    "t.append(time.perf_counter())\n"
    "model(np.zeros((1, 224, 224, 1), np.uint8))"
)  # fmt: skip

MAKE = """
import sys
import zoo
from zoo.names.catalog import CATALOG
from zoo.evaluation.decision import Decision
from zoo.release.write import write_release
from zoo.models.ensemble import Ensemble
spec = CATALOG["xrayslam-ensemble"].spec
model = Ensemble.from_spec(spec)
write_release(sys.argv[1], model, spec, Decision(spec.findings))
model.save_weights(sys.argv[1] + "/plain.weights.h5")
"""

IMPORT = START + "import zoo"


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A release with random weights, and an image; programs that JAX compiles are kept."""
    folder = tmp_path_factory.mktemp("load")
    os.environ["ZOO_HOME"] = str(folder / "home")
    noise = np.random.default_rng(0).integers(0, 256, (512, 512), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "film.png")
    run(MAKE, [str(folder / "release")])
    found = [str(folder / "release"), str(folder / "film.png")]
    seconds(ZOO, found)
    return found


def test_first_prediction(record: Callable[..., None], describe: Callable[..., None], arguments: list[str]) -> None:
    describe(
        SECTION,
        f"Seconds, medians of {ROUNDS} fresh processes each, in turn. The ratio is all of it over importing the "
        "backend and reading the weights' bytes. Plain Keras: layers draw their random start, then "
        "`load_weights` of a .weights.h5 and `predict`; nothing is checked.",
    )
    side_by_side(record, FLOOR, {"zoo": ZOO, "plain Keras": KERAS}, arguments)


@pytest.mark.tensorflow_only
def test_first_prediction_of_openvino(record: Callable[..., None], arguments: list[str]) -> None:
    """Once it was loaded on this machine: the exported graph and what OpenVINO compiled are kept."""
    pytest.importorskip("openvino", reason="pip install 'xrayslam-zoo[serve]'")
    seconds(OPENVINO, arguments)
    ways = {"zoo, runtime='openvino'": OPENVINO, "OpenVINO alone, nothing checked": OPENVINO_ALONE}
    side_by_side(record, OPENVINO_FLOOR, ways, arguments)


def side_by_side(record: Callable[..., None], floor: str, ways: dict[str, str], arguments: list[str]) -> None:
    floors: list[list[float]] = []
    times: dict[str, list[list[float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        floors.append(seconds(floor, arguments))
        for name, code in ways.items():
            times[name].append(seconds(code, arguments))
    least = statistics.median(map(sum, floors))
    for name, rounds in times.items():
        steps = dict(zip(("import", "load", "predict"), map(statistics.median, zip(*rounds, strict=True)), strict=True))
        record(
            SECTION,
            {"backend": os.environ["KERAS_BACKEND"], "how": name, "import and read (s)": round(least, 2)}
            | {f"{step} (s)": round(value, 2) for step, value in steps.items()}
            | {"ratio": round(statistics.median(map(sum, rounds)) / least, 2)},
        )


def test_import_alone(record: Callable[..., None], arguments: list[str]) -> None:
    """`import zoo` loads no Keras."""
    times = [sum(seconds(IMPORT, arguments)) for _ in range(2 * ROUNDS + 1)]
    record("`import zoo` alone", {"processes": len(times), "median (ms)": round(1000 * statistics.median(times), 1)})


def seconds(code: str, arguments: list[str]) -> list[float]:
    return json.loads(run(code + END, arguments).splitlines()[-1])


def run(code: str, arguments: list[str]) -> str:
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
