"""Pieces of a list, scored by the class that Ray's workers run, here without Ray."""

import json
import pickle

import pandas as pd
import pytest
import standin

from zoo.cluster.folder import MOST_TRIES, Pieces, drop, refuse_other, summary
from zoo.cluster.lists import find_listed
from zoo.cluster.ray_engine import ScorePieces, Workers, score_on_ray
from zoo.core.errors import CheckpointError, ImageError, MissingExtraError, StateError, TableError, UsageError
from zoo.core.progress import Silent
from zoo.inference.predictor import Predictor
from zoo.runs import predict
from zoo.runs.merge import merge
from zoo.runs.predict import findings_job

pytest.importorskip("pyarrow")


@pytest.fixture
def films(tmp_path):
    return standin.make_films(tmp_path / "films")


@pytest.fixture(autouse=True)
def _sent(monkeypatch):
    """The stand-in was not loaded from a release, so it is made anew where it is sent."""
    monkeypatch.setattr(Predictor, "__reduce__", lambda self: (standin.predictor, ()))


def pieces_of(films, tmp_path, size=8, wide=False):
    model = standin.predictor()
    paths = find_listed([films], lambda line: None)
    job = findings_job(model, 4, "parquet", wide, None) | {"list": "of 18 images"}
    folder = tmp_path / "out"
    folder.mkdir(exist_ok=True)
    return Pieces(folder, len(paths), size, job), paths


def worker(pieces, wide=False):
    return ScorePieces(pickle.dumps((standin.predictor(), pieces, 4, wide, None)), "jax")


def batch(pieces, paths, index):
    return {"index": [index], "paths": [paths[slice(*pieces.span(index))]]}


@pytest.mark.parametrize("wide", [False, True])
def test_parts_are_the_rows_of_one_process_and_merge_to_its_file(films, tmp_path, wide):
    whole = tmp_path / "whole.csv"
    standin.write(films, whole, wide=wide)
    pieces, paths = pieces_of(films, tmp_path, wide=wide)
    scorer = worker(pieces, wide)
    assert [scorer(batch(pieces, paths, i)) for i in (2, 0, 1)] == [{"images": [n]} for n in (2, 8, 8)]
    done = pieces.finish("stand-in")
    assert (done.items, done.failed) == (18, 1)
    merge([pieces.folder], tmp_path / "merged.csv", Silent())
    assert (tmp_path / "merged.csv").read_bytes() == whole.read_bytes()
    table = pd.read_parquet(pieces.folder)  # readers of folders pass over names that begin with _
    assert table["image"].drop_duplicates().tolist() == paths
    bad = pd.read_parquet(pieces.folder / "_unreadable.parquet")
    assert bad["image"].tolist() == [str(films / "patient0" / "film002.png")]
    assert bad["error"].str.contains("empty").all()
    facts = summary(pieces.folder)
    assert (facts["images"], facts["unreadable"], facts["parts"], facts["model"]) == (18, 1, 3, "stand-in")


def test_what_is_written_is_not_computed_again(films, tmp_path):
    pieces, paths = pieces_of(films, tmp_path)
    worker(pieces)(batch(pieces, paths, 1))
    before = pieces.path(1).stat().st_mtime_ns
    again = worker(pieces)
    for index in range(3):
        again(batch(pieces, paths, index))
    assert sum(again._predictor.runtime.calls) == 9  # images 1 to 8 without the empty one, and the last two
    assert pieces.path(1).stat().st_mtime_ns == before


def test_a_worker_that_dies_within_a_piece_leaves_no_part(films, tmp_path, monkeypatch):
    pieces, paths = pieces_of(films, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("zoo.inference.parts.PartFormat.whole", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            worker(pieces)(batch(pieces, paths, 0))
    assert [p.name for p in pieces.folder.iterdir()] == ["_tries"]
    with pytest.raises(CheckpointError, match=r"part-00000.parquet is missing: the same command writes it"):
        pieces.finish("stand-in")


def test_a_piece_that_kills_every_worker_is_given_up_with_its_place(films, tmp_path):
    pieces, paths = pieces_of(films, tmp_path)
    for _ in range(MOST_TRIES):
        pieces.begin(1)
    with pytest.raises(StateError, match=f"{MOST_TRIES} workers died at images 9 to 16 of the list"):
        worker(pieces)(batch(pieces, paths, 1))
    pieces.forget_tries()
    worker(pieces)(batch(pieces, paths, 1))


def test_results_of_another_job_and_other_files_are_refused(films, tmp_path):
    pieces, paths = pieces_of(films, tmp_path)
    worker(pieces)(batch(pieces, paths, 0))
    other, _ = pieces_of(films, tmp_path, wide=True)
    with pytest.raises(CheckpointError, match=r"part-00000.parquet exists and is of another job \(form was long"):
        other.finished(0)
    refuse_other(pieces.folder)
    (pieces.folder / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"holds 'notes.txt', which is no part of a result"):
        refuse_other(pieces.folder)
    with pytest.raises(CheckpointError, match="exists and is no folder"):
        refuse_other(pieces.folder / "notes.txt")
    drop(pieces.folder)
    assert [p.name for p in pieces.folder.iterdir()] == ["notes.txt"]


def test_lists_are_read_from_tables_folders_and_addresses(films, tmp_path):
    import fsspec

    said = []
    store = fsspec.filesystem("memory")
    for name in ("a.png", "deep/b.dcm", "notes.txt"):
        store.pipe(f"/lists/{name}", b"x")
    assert find_listed(["memory://lists"], said.append) == ["memory:///lists/a.png", "memory:///lists/deep/b.dcm"]
    assert said == ["memory://lists: left out 1 of .txt"]
    table = pd.DataFrame({"image_path": ["films/patient0/film000.png", "s3://bucket/b.png"], "Age": [60, 61]})
    table.to_csv(tmp_path / "l.csv", index=False)
    table.to_parquet(tmp_path / "l.parquet")
    expected = [str(films / "patient0" / "film000.png"), "s3://bucket/b.png"]
    for name in ("l.csv", "l.parquet"):
        assert find_listed([tmp_path / name], said.append) == expected
    assert len(find_listed([tmp_path / "l.csv", films], said.append)) == 19
    assert said[-1] == "1 image is listed again and taken once"
    table.rename(columns={"image_path": "x"}).to_csv(tmp_path / "x.csv", index=False)
    with pytest.raises(TableError, match=r"x.csv: no column of images \(such as Path\); it has 'x', 'Age'"):
        find_listed([tmp_path / "x.csv"], said.append)
    table.assign(image_path=["a.png", ""]).to_csv(tmp_path / "e.csv", index=False)
    with pytest.raises(TableError, match="1 of 2 rows name no image in column 'image_path'"):
        find_listed([tmp_path / "e.csv"], said.append)
    with pytest.raises(ImageError, match="no file with the extension of an image"):
        find_listed(["memory://nothing"], said.append)


def test_a_missing_ray_and_wrong_workers_are_said(films, tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.cluster.ray_engine.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"--engine ray needs ray.*xrayslam-zoo\[ray\]"):
        score_on_ray(standin.predictor(), [films], tmp_path / "out", Silent())
    with pytest.raises(UsageError, match="numbers have to be positive"):
        Workers(count=0)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--engine", "ray", "--by", "study", "--out", "o"], "--by study: not with --engine ray"),
        (["--engine", "ray", "--shard", "0/2", "--ids", "uid", "--out", "o"], "--shard, --ids: not with --engine ray"),
        (["--engine", "ray"], "--out FOLDER is missing"),
        (["--workers", "2", "--out", "o.csv"], "--workers: is of workers: give --engine ray as well"),
    ],
)
def test_options_that_do_not_go_together_are_refused(films, capsys, options, message):
    from zoo.cli import main

    assert main(["predict", str(films), *options]) == 1
    assert message in capsys.readouterr().err


def test_the_marker_is_json_for_other_programs(films, tmp_path):
    pieces, paths = pieces_of(films, tmp_path, size=20)
    worker(pieces)(batch(pieces, paths, 0))
    pieces.finish("m")
    assert json.loads((pieces.folder / "_SUCCESS").read_text())["job"]["list"] == "of 18 images"
    assert predict.Counts(18, 1).images == summary(pieces.folder)["images"]
