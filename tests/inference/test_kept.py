"""Models that stay loaded: one load for many threads, a bound, and no old release under a new one's name."""

import os
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import zoo
from zoo.inference import load as loading
from zoo.inference.kept import Kept


@pytest.fixture
def releases(tmp_path):
    """Three folders with manifests."""
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(name)
    return [tmp_path / name for name in "abc"]


def test_threads_that_ask_at_once_share_one_load(releases):
    kept, loads = Kept(), []

    def load():
        loads.append(threading.get_ident())
        time.sleep(0.05)
        return object()

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: kept.get(releases[0], load), range(32)))
    assert len(loads) == 1
    assert all(one is found[0] for one in found)


def test_the_one_unused_for_longest_is_dropped_and_all_on_request(releases):
    kept, loads = Kept(2), []

    def get(folder):
        return kept.get(folder, lambda: loads.append(folder.name) or folder.name)

    a, b, c = releases
    assert [get(f) for f in (a, b, a, c, a, b)] == ["a", "b", "a", "c", "a", "b"]
    assert loads == ["a", "b", "c", "b"]
    assert (kept.free(), kept.free()) == (2, 0)
    get(b)
    assert loads[4:] == ["b"]


class Cyclic:
    """Refers to itself, as the layers of a network refer to each other."""

    def __init__(self):
        self.own = self


def test_the_memory_of_a_dropped_model_is_freed_at_once(releases):
    kept = Kept(1)
    first = weakref.ref(kept.get(releases[0], Cyclic))
    second = weakref.ref(kept.get(releases[1], Cyclic))
    assert first() is None
    assert second() is not None
    kept.free()
    assert second() is None


def test_another_release_of_the_same_name_is_loaded_and_replaces_the_old_one(releases):
    kept = Kept(2)
    manifest = releases[0] / "manifest.json"
    assert kept.get(releases[0], manifest.read_text) == "a"
    manifest.write_text("new")
    assert kept.get(releases[0], manifest.read_text) == "new"
    assert kept.free() == 1


def test_a_load_that_fails_is_not_kept(releases):
    kept = Kept()
    with pytest.raises(ZeroDivisionError):
        kept.get(releases[0], lambda: 1 / 0)
    assert kept.get(releases[0], lambda: 5) == 5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_starts_with_none_though_a_thread_held_the_lock(releases):
    kept, begun, end = Kept(), threading.Event(), threading.Event()
    thread = threading.Thread(target=lambda: kept.get(releases[0], lambda: begun.set() or end.wait(30)))
    thread.start()
    begun.wait(30)
    pid = os.fork()
    if pid == 0:
        os._exit(kept.free() + 10)  # would wait for ever for a copied lock
    status = os.waitpid(pid, 0)[1]
    end.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 10


def test_predict_ensemble_loads_once_for_calls_from_threads(monkeypatch):
    zoo.free_models()
    loads, load = [], loading.load
    monkeypatch.setattr(loading, "load", lambda name: loads.append(name) or load(name))
    image = zoo.example_images()[:1]
    expected = load("nih-lite").predict(image)
    with ThreadPoolExecutor(2) as pool:
        for found in pool.map(lambda _: zoo.predict_ensemble(image, "nih-lite"), range(4)):
            np.testing.assert_allclose(found, expected, atol=1e-5)  # the first call runs without a graph
    assert loads == ["nih-lite"]
    assert zoo.free_models() == 1
