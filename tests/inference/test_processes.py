"""A predictor in several threads, after a fork, and sent to another process."""

import copy
import multiprocessing
import os
import pickle
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from builders import FINDINGS3, tiny_release
from standin import predictor as stand_in

import zoo
from zoo.core.errors import ReleaseError, StateError
from zoo.evaluation.decision import Decision
from zoo.inference.load import load

LIBRARIES = {"keras": "keras", "openvino": "openvino", "onnx": "onnxruntime"}
RUNTIMES = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(library), reason=f"{library} is not installed"))
    for name, library in LIBRARIES.items()
]
each_runtime = pytest.mark.parametrize("runtime", RUNTIMES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


def images(n: int = 3) -> list[np.ndarray]:
    return list(np.random.default_rng(7).integers(0, 256, (n, 40, 40), dtype=np.uint8))


@each_runtime
def test_eight_threads_give_what_one_gives(folder, runtime):
    model = zoo.load(folder, runtime=runtime)
    jobs = [images(2 + i % 3) for i in range(24)]
    fresh = zoo.load(folder, runtime=runtime)
    with ThreadPoolExecutor(8) as pool:
        at_once = list(pool.map(fresh.predict, jobs))
    for job, found in zip(jobs, at_once, strict=True):
        np.testing.assert_allclose(found, model.predict(job), atol=1e-6)


def test_eight_threads_explain_what_one_explains(folder):
    model = zoo.load(folder)
    image = images(1)[0]
    expected = model.explain(image, "Edema").heatmap
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: model.explain(image, "Edema").heatmap, range(16)))
    for heatmap in found:
        np.testing.assert_allclose(heatmap, expected, atol=1e-5)


#: Loads models, forks, and does one thing in each child, which says how that ended; a child that hangs is killed.
FORK = """
import os, signal, sys, time
import numpy as np, zoo
from zoo.export import exporting
from zoo.names import sources
from zoo.runs import train
folder, *runtimes = sys.argv[1:]
models = {runtime: zoo.load(folder, runtime=runtime) for runtime in runtimes}
image = np.arange(1600, dtype=np.uint8).reshape(40, 40)
acts = {f"{runtime} predict": lambda model=model: model.predict(image) for runtime, model in models.items()} | {
    "findings": lambda: models["keras"].findings(image),
    "scores": lambda: models["keras"].scores(image, np.zeros((1, 3))),
    "explain": lambda: models["keras"].explain(image, "Edema"),
    "load": lambda: zoo.load(folder),
    "export": lambda: exporting.export(sources.find(folder), folder + "-export", "onnx"),
    "train": lambda: train.train(None, None, None, None),
}
for model in models.values():
    model.predict(image)
for name, act in acts.items():
    child = os.fork()
    if child == 0:
        try:
            act()
            print(name, "worked", flush=True)
        except BaseException as error:
            print(name, type(error).__name__, "spawn" in str(error), flush=True)
        os._exit(0)
    for _ in range(200):
        if os.waitpid(child, os.WNOHANG)[0]:
            break
        time.sleep(0.05)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(name, "hung", flush=True)
print("parent", *{model.predict(image).shape for model in models.values()}, flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_after_a_fork_there_is_an_error_and_no_hang(folder):
    names = [name for name, library in LIBRARIES.items() if find_spec(library)]
    command = [sys.executable, "-c", FORK, str(folder), *names]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    acts = [*(f"{name} predict" for name in names), "findings", "scores", "explain", "load", "export", "train"]
    assert done.stdout.splitlines() == [*(f"{act} StateError True" for act in acts), "parent (1, 3)"]


def test_a_fork_before_anything_is_loaded_may_load():
    code = (
        "import os, zoo\n"
        "from zoo.core.process import require_own_process\n"
        "child = os.fork()\n"
        "require_own_process()\n"
        "if child: print(os.waitpid(child, 0)[1])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


@each_runtime
def test_a_pickled_predictor_is_loaded_again(folder, runtime):
    model = zoo.load(folder, runtime=runtime, members=["tiny0"])
    model.limits = zoo_limits = type(model.limits)(seconds=3.0)
    again = pickle.loads(pickle.dumps(model))
    assert (again.members, again.name, again.runtime.name) == (("tiny0",), model.name, runtime)
    assert again.limits == zoo_limits
    np.testing.assert_array_equal(again.predict(images()), model.predict(images()))


def test_a_decision_goes_along(folder):
    model = zoo.load(folder).with_decision(Decision(FINDINGS3, (3.0,)))
    again = pickle.loads(pickle.dumps(model))
    assert again.decision == model.decision
    np.testing.assert_array_equal(again.predict(images()), model.predict(images()))


def test_it_goes_to_a_spawned_process(folder):
    model = zoo.load(folder)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(model.predict, (images(),)).get(timeout=240)
    np.testing.assert_allclose(found, model.predict(images()), atol=1e-6)


def test_a_release_that_changed_meanwhile_is_refused(folder, tmp_path):
    place = tiny_release(tmp_path / "tiny")
    sent = pickle.dumps(load(place))
    shutil.rmtree(place)
    tiny_release(place, seed=5)
    with pytest.raises(ReleaseError, match="holds another release"):
        pickle.loads(sent)


def _in_pool(method: str, folder: str, sent: str) -> str:
    """What a pool's caller gets whose workers cannot load the predictor that they are sent; a hang is killed."""
    code = (
        "import multiprocessing, shutil, sys\n"
        "import numpy as np, zoo\n"
        "if __name__ == '__main__':\n"
        "    image = np.random.default_rng(0).integers(0, 256, (40, 40), dtype=np.uint8)\n"
        f"    model = zoo.load({folder!r})\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        f"    if {method!r} == 'spawn': shutil.rmtree({folder!r})\n"
        "    with context.Pool(1) as pool:\n"
        "        try:\n"
        f"            pool.apply_async({sent}, (image,)).get(timeout=120)\n"
        "        except Exception as error:\n"
        "            print(type(error).__name__)\n"
    )
    script = Path(folder).with_name(f"pool_{method}.py")
    script.write_text(code)
    return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=200).stdout.strip()


@pytest.mark.parametrize(("method", "error"), [("fork", "StateError"), ("spawn", "FileNotFoundError")])
def test_a_pool_whose_workers_cannot_load_the_predictor_says_why(tmp_path, method, error):
    place = str(tiny_release(tmp_path / "tiny"))
    assert _in_pool(method, place, "model.predict") == error


def test_a_copy_shares_the_network_and_not_the_settings(folder):
    model = zoo.load(folder)
    other = copy.copy(model)
    other.limits = type(model.limits)(seconds=3.0)
    assert other.runtime is model.runtime
    assert model.limits != other.limits
    np.testing.assert_array_equal(other.predict(images()), model.predict(images()))
    assert copy.copy(stand_in()).labels == stand_in().labels


def test_no_decision_goes_along_as_none(folder):
    model = zoo.load(folder)
    model.decision = None
    assert pickle.loads(pickle.dumps(model)).decision is None


def test_what_came_from_no_release_cannot_be_sent():
    with pytest.raises(StateError, match="not loaded from a release"):
        pickle.dumps(stand_in())


#: A fresh process whose first prediction has to answer in several threads of OpenVINO at once.
FIRST = """
import sys, numpy as np, zoo
model = zoo.load(sys.argv[1], runtime="openvino")
print(np.isfinite(model.predict(np.arange(25600).reshape(16, 40, 40) % 251)).all())
"""


@pytest.mark.skipif(not find_spec("openvino"), reason="openvino is not installed")
def test_openvinos_first_prediction_comes_back(folder):
    """Two threads that came to its first request together waited for ever, in some of a hundred loaded processes."""
    zoo.load(folder, runtime="openvino")  # the graph is in the cache
    command = [sys.executable, "-c", FIRST, str(folder)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(12)]
    assert [process.communicate(timeout=240)[0] for process in started] == ["True\n"] * 12
