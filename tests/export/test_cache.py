"""What is made once is made by one process, whole or not at all, and made again where it was damaged."""

import threading

import pytest
from exported import CHECK, graph_facts

from zoo.export import exporting, graph_cache
from zoo.release import layout


def maker(calls, content=b"graph"):
    def make(folder):
        calls.append(folder)
        with exporting.whole(folder) as new:
            (new / "model.onnx").write_bytes(content)
            exporting.finish(new, graph_facts("onnx", "float32"), CHECK)

    return make


def test_it_is_made_once(tmp_path):
    calls = []
    first, second = (graph_cache.obtain(tmp_path / "graph", maker(calls)) for _ in range(2))
    assert len(calls) == 1
    assert first == second
    assert (first.folder / "model.onnx").read_bytes() == b"graph"


@pytest.mark.parametrize("name", ["model.onnx", layout.FACTS])
@pytest.mark.parametrize("content", [b"", b"another"])
def test_what_was_damaged_is_made_again(tmp_path, name, content):
    calls = []
    made = graph_cache.obtain(tmp_path / "graph", maker(calls))
    (made.folder / name).write_bytes(content)
    assert graph_cache.obtain(tmp_path / "graph", maker(calls)) == made
    assert len(calls) == 2


def test_what_was_interrupted_leaves_nothing(tmp_path):
    def dies(folder):
        with exporting.whole(folder) as new:
            (new / "model.onnx").write_bytes(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        graph_cache.obtain(tmp_path / "graph", dies)
    assert [f.name for f in tmp_path.iterdir() if not f.name.endswith(".lock")] == []
    assert graph_cache.obtain(tmp_path / "graph", maker([])).facts.format == "onnx"


def test_of_many_at_once_one_makes_it(tmp_path):
    calls, found = [], []
    threads = [
        threading.Thread(target=lambda: found.append(graph_cache.obtain(tmp_path / "graph", maker(calls))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert len(found) == 4
