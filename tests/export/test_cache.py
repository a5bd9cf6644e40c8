"""What is made once is made by one process, whole or not at all, and made again where it was damaged."""

import threading
import warnings
from types import SimpleNamespace

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


def test_what_lost_its_facts_is_made_again(tmp_path):
    made = graph_cache.obtain(tmp_path / "graph", maker([]))
    (made.folder / layout.FACTS).unlink()
    assert graph_cache.obtain(tmp_path / "graph", maker([])) == made


def test_where_nothing_can_be_written_it_is_made_once_for_this_process(tmp_path):
    (tmp_path / "home").write_text("no folder")
    calls = []
    with pytest.warns(UserWarning, match="home/exports/graph: cannot be written: .*made for this process alone"):
        first = graph_cache.obtain(tmp_path / "home" / "exports" / "graph", maker(calls))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert graph_cache.obtain(tmp_path / "home" / "exports" / "graph", maker(calls)) == first
    assert len(calls) == 1


def test_openvino_keeps_nothing_where_nothing_can_be_written(tmp_path, monkeypatch, zoo_home):
    graph = SimpleNamespace(content={"model.xml": "0" * 64})
    with graph_cache.compiled(graph) as folder:
        assert folder.parent == zoo_home / "compiled"
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "file"))
    (tmp_path / "file").write_text("no folder")
    with graph_cache.compiled(graph) as folder:
        assert folder is None


def test_compiled_models_stay_while_they_are_what_was_left(zoo_home):
    graph, seen = SimpleNamespace(content={"model.xml": "0" * 64}), []
    for write in ("one", "", "other", "", "damaged", ""):
        with graph_cache.compiled(graph) as folder:
            seen.append(sorted(path.name for path in folder.glob("*.blob")))
            folder.mkdir(parents=True, exist_ok=True)
            if write in ("one", "other"):
                (folder / f"{write}.blob").write_text(write)
        if write == "damaged":
            (folder / "one.blob").write_text("enO")
    assert seen == [[], ["one.blob"], ["one.blob"], ["one.blob", "other.blob"], ["one.blob", "other.blob"], []]


def test_bfloat16_that_was_accepted_on_one_processor_is_compared_anew_on_another(monkeypatch):
    member = SimpleNamespace(name="tiny0")
    found = SimpleNamespace(spec=SimpleNamespace(members=[member]), manifest_sha256="0" * 64)
    kinds = "float32", "bfloat16", "int8"
    here = [graph_cache.folder_of(found, None, "openvino", kind) for kind in kinds]
    monkeypatch.setattr(graph_cache, "processor", lambda: "another")
    there = [graph_cache.folder_of(found, None, "openvino", kind) for kind in kinds]
    assert [a == b for a, b in zip(here, there, strict=True)] == [True, False, True]


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
