"""Folders to files of results, with what is installed for predicting alone (no TensorFlow on JAX)."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import standin
from builders import FINDINGS3, tiny_release
from films import noise_folder
from PIL import Image

import zoo
from zoo.cli import main
from zoo.core.errors import CheckpointError, ImageError, UnknownNameError
from zoo.core.progress import Silent
from zoo.evaluation.files.predictions import read_predictions
from zoo.inference import resume
from zoo.inference.load import load
from zoo.inference.resume import folder_of
from zoo.inference.shards import Shard
from zoo.inference.written import open_written
from zoo.runs import predict
from zoo.runs.merge import merge


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny", members=1)


@pytest.fixture
def films(tmp_path):
    return noise_folder(tmp_path / "films", "film")


def test_findings_of_a_folder_in_order_with_the_bad_one_named(folder, films, tmp_path):
    out = tmp_path / "new" / "findings.csv"
    counts = predict.write_findings(load(folder), [films], out, Silent(), batch_size=2)
    assert counts == predict.Counts(images=5, unreadable=1)
    table = pd.read_csv(out)
    assert list(table["image"].unique()) == [str(p) for p in sorted(films.iterdir())]
    bad = table[table["image"].str.endswith("film2.png")]
    assert bad["probability"].isna().all()
    assert bad["error"].str.contains("empty|zero").all()
    good = [p for p in sorted(films.iterdir()) if p.name != "film2.png"]
    expected = zoo.load(folder).predict(good).ravel()
    np.testing.assert_allclose(table["probability"].dropna().to_numpy(), expected, rtol=1e-5)
    assert [p.name for p in out.parent.iterdir()] == ["findings.csv"]


def test_limits_of_images_can_be_set_on_the_command_line(folder, films, tmp_path, capsys):
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1000), dtype=np.uint8)).save(films / "film3.png")
    command = ["predict", str(films), "--model", str(folder), "--wide"]
    assert main([*command, "--out", str(tmp_path / "small.csv"), "--max-file-size", "1"]) == 0
    errors = pd.read_csv(tmp_path / "small.csv").set_index("image")["error"]
    assert errors[str(films / "film3.png")].endswith("at most 1 MB are read")
    assert main([*command, "--out", str(tmp_path / "all.csv"), "--max-seconds", "60"]) == 0
    assert pd.read_csv(tmp_path / "all.csv")["error"].notna().sum() == 1
    capsys.readouterr()
    for wrong in (["--max-seconds", "0"], ["--max-file-size", "-3"], ["--max-seconds", "nan"]):
        assert main([*command, "--out", str(tmp_path / "none.csv"), *wrong]) == 1
        assert "has to be positive" in capsys.readouterr().err


def test_strict_stops_and_leaves_no_file(folder, films, tmp_path):
    out = tmp_path / "findings.csv"
    with pytest.raises(ImageError, match=r"film2\.png"):
        predict.write_findings(load(folder), [films], out, Silent(), strict=True)
    assert not out.exists()


def test_an_empty_folder_and_a_missing_one_are_said(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    for source in (tmp_path / "empty", tmp_path / "missing"):
        with pytest.raises((ImageError, FileNotFoundError), match=source.name):
            predict.write_findings(load(folder), [source], tmp_path / "f.csv", Silent())


def test_the_command_predicts_without_importing_tensorflow_on_jax(folder, films, tmp_path):
    code = (
        "import sys; from zoo.cli import main; status = main(sys.argv[1:]); "
        "import keras; print(status, 'tensorflow' in sys.modules and keras.config.backend() != 'tensorflow')"
    )
    arguments = ["predict", str(films), "--model", str(folder), "--out", str(tmp_path / "f.csv")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "0 False", done.stdout + done.stderr
    assert "not a medical device" in done.stdout


def test_every_backend_goes_on_after_a_kill_to_the_very_bytes(folder, films, tmp_path):
    """The command is killed while it scores, and given again: three batches of two, the last one short."""
    whole, out = tmp_path / "whole.csv", tmp_path / "killed.csv"
    predict.write_findings(load(folder), [films], whole, Silent(), batch_size=2)
    code = (
        "import os, signal, sys\n"
        "from zoo import cli\n"
        "from zoo.inference import resume\n"
        "def append(self, *piece, append=resume.Journal.append):\n"
        "    append(self, *piece)\n"
        "    if self.done.items == 4: os.kill(os.getpid(), signal.SIGKILL)\n"
        "resume.Journal.append = append\n"
        "cli.main(sys.argv[1:])"
    )
    arguments = ["predict", str(films), "--model", str(folder), "--out", str(out), "--batch-size", "2"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    told = Told()
    assert predict.write_findings(load(folder), [films], out, told, batch_size=2) == predict.Counts(5, 1)
    assert told.messages == ["resuming after 4 of 5 images, which an earlier run has written"]
    assert told.tasks == [("scoring images", 5, 4, [1])]
    assert out.read_bytes() == whole.read_bytes()


def test_shards_of_a_network_merge_to_the_very_table(folder, tmp_path):
    """Batches of four, one of them short; shares have other batches, some of one image."""
    pytest.importorskip("pyarrow")
    films = noise_folder(tmp_path / "films", "film", 10)
    model, whole, out = load(folder), tmp_path / "whole.parquet", tmp_path / "f.parquet"
    predict.write_findings(model, [films], whole, Silent(), batch_size=4)
    for i in range(3):
        predict.write_findings(model, [films], out, Silent(), batch_size=4, shard=Shard(i, 3))
    merge([tmp_path / "f.parquet.parts"], out, Silent())
    pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(whole), check_exact=True)
    stated = [open_written(path).facts for path in (out, whole)]
    assert stated[0]["manifest_sha256"] == model.manifest_sha256
    assert {k: v for k, v in stated[0].items() if k != "ARROW:schema"} == {
        k: v for k, v in stated[1].items() if k != "ARROW:schema"
    }


class Told(Silent):
    """Remembers what it was told."""

    def __init__(self):
        self.messages, self.tasks = [], []

    def message(self, text):
        self.messages.append(text)

    @contextmanager
    def task(self, title, total, done=0):
        steps = []
        self.tasks.append((title, total, done, steps))
        yield lambda n=1: steps.append(n)


@pytest.fixture
def many(tmp_path):
    return standin.make_films(tmp_path / "many")


@pytest.mark.parametrize("point", standin.KILLS)
def test_killed_at_every_awkward_point(many, tmp_path, point):
    whole, out = tmp_path / "whole.csv", tmp_path / "killed.csv"
    standin.write(many, whole)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(zoo.__file__).parents[1]), *sys.path])}
    done = subprocess.run([sys.executable, standin.__file__, many, out, point], env=environment, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    model = standin.predictor()
    assert standin.write(many, out, model) == predict.Counts(18, 1)
    assert out.read_bytes() == whole.read_bytes()
    assert sum(model.runtime.calls) == 18 - min(18, 4 * standin.KILLS[point]) - (point == "before the first mark")
    assert not folder_of(out).exists()


def stop_after(monkeypatch, batches):
    """Makes the next run end in an error after so many batches."""
    logits, left = standin.StandIn.logits, [batches]

    def failing(self, pixels, full=0):
        if not left[0]:
            raise MemoryError("stopped")
        left[0] -= 1
        return logits(self, pixels, full)

    monkeypatch.setattr(standin.StandIn, "logits", failing)
    return lambda: monkeypatch.setattr(standin.StandIn, "logits", logits)


def stop(many, out, monkeypatch, batches=2, **options):
    go_on = stop_after(monkeypatch, batches)
    with pytest.raises(MemoryError):
        standin.write(many, out, **options)
    go_on()


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("name", ["findings.csv", "findings.parquet"])
def test_both_forms_of_both_formats_go_on(many, tmp_path, monkeypatch, name, wide):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    whole, out = tmp_path / f"whole_{name}", tmp_path / name
    standin.write(many, whole, wide=wide)
    stop(many, out, monkeypatch, wide=wide)
    standin.write(many, out, wide=wide)
    if name.endswith("csv"):
        assert out.read_bytes() == whole.read_bytes()
    else:
        pd.testing.assert_frame_equal(pd.read_parquet(out), pd.read_parquet(whole), check_exact=True)


def test_parquet_and_csv_say_the_same(many, tmp_path):
    pytest.importorskip("pyarrow", reason="Parquet needs pyarrow")
    for name in ("f.csv", "f.parquet"):
        standin.write(many, tmp_path / name)
    packed, text = pd.read_parquet(tmp_path / "f.parquet"), pd.read_csv(tmp_path / "f.csv")
    assert list(packed.columns) == list(text.columns)
    assert str(packed["probability"].dtype) == "float32"
    np.testing.assert_allclose(packed["probability"], text["probability"], rtol=1e-5)
    assert list(packed["positive"].dropna()) == list(text["positive"].dropna())
    assert list(packed["positive"].isna()) == list(text["positive"].isna())
    assert list(packed["error"]) == list(text["error"].fillna(""))
    stated = open_written(tmp_path / "f.parquet").facts
    assert {"model", "manifest_sha256", "members", "runtime", "zoo", "decision", "operating point"} <= {*stated}
    assert stated["operating point"] == "the release's own"


def test_the_wide_form_is_a_row_for_each_film(many, tmp_path):
    out = tmp_path / "wide.csv"
    standin.write(many, out, standin.predictor(trained=(True, False, True)), wide=True)
    table = pd.read_csv(out)
    assert list(table.columns) == ["image", FINDINGS3[0], FINDINGS3[2], "error", "quality", "reason"]
    assert len(table) == 18
    bad = table["image"].str.endswith("film002.png")
    assert table.loc[bad, FINDINGS3[0]].isna().all()
    assert table["error"].notna().sum() == bad.sum() == 1
    with pytest.raises(ValueError, match="max_f1"):
        standin.write(many, out, wide=True, point="max_f1")


def test_predictions_are_read_from_either_form(many, tmp_path):
    found = []
    for wide in (False, True):
        model = standin.predictor(trained=(True, False, True))
        standin.write(many, tmp_path / "f.csv", model, wide=wide, restart=True)
        found.append(read_predictions(tmp_path / "f.csv", drop_missing=True))
    long, short = found
    assert long.findings == short.findings == (FINDINGS3[0], FINDINGS3[2])
    assert list(long.ids) == list(short.ids)
    np.testing.assert_array_equal(long.values, short.values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"point": "sensitivity_90"}, "operating point was the release's own, is sensitivity_90"),
        ({"batch_size": 2}, "batch size was 4, is 2"),
        ({"wide": True}, "form was long csv, is wide csv"),
        ({"model": "6" * 64}, "model was 5555555555555555, is 6666666666666666"),
    ],
)
def test_a_stopped_run_of_another_job_is_said(many, tmp_path, monkeypatch, change, words):
    out = tmp_path / "findings.csv"
    stop(many, out, monkeypatch)
    model = standin.predictor()
    options = dict(change)
    model.manifest_sha256 = options.pop("model", model.manifest_sha256)
    with pytest.raises(CheckpointError, match=words):
        standin.write(many, out, model, **options)
    assert standin.write(many, out, model, restart=True, **options).images == 18


def test_added_images_are_scored_behind_the_others(many, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    standin.write(many, whole)
    stop(many, out, monkeypatch)
    for name in ("patient0/a.png", "zz.png"):  # in front of all others, and behind them
        Image.fromarray(np.arange(1600, dtype=np.uint8).reshape(40, 40)).save(many / name)
    model = standin.predictor()
    assert standin.write(many, out, model).images == 20
    assert sum(model.runtime.calls) == 20 - 8
    before, table = (pd.read_csv(path).set_index("image") for path in (whole, out))
    names = list(dict.fromkeys(table.index))
    assert names[:8] == list(dict.fromkeys(before.index))[:8]
    assert {Path(name).name for name in names} >= {"a.png", "zz.png"}
    pd.testing.assert_frame_equal(table.loc[before.index.unique()], before)


def test_changed_and_removed_images_are_refused_until_restart(many, tmp_path, monkeypatch):
    out = tmp_path / "out.csv"
    stop(many, out, monkeypatch)
    done, waits = (many / "patient0" / f"film{i:03d}.png" for i in (6, 8))
    kept = done.read_bytes()
    os.utime(done, ns=(0, 5))  # a new time alone is no change
    Image.fromarray(np.full((40, 50), 7, np.uint8)).save(done)
    with pytest.raises(CheckpointError, match=r"1 of 8 images .* are changed \(first: .*film006\.png\): --replace"):
        standin.write(many, out)
    done.unlink()
    with pytest.raises(CheckpointError, match=r"1 of 8 images .* are left out now \(first: .*film006\.png\)"):
        standin.write(many, out)
    done.write_bytes(kept)
    stop(many, out, monkeypatch, batches=1)
    assert standin.write(many, out).images == 18
    assert waits.exists()


@pytest.mark.parametrize("batch_size", [2, 8])
def test_a_run_stopped_behind_any_batch_ends_with_the_very_bytes(folder, tmp_path, monkeypatch, batch_size):
    """Each time with a network that is loaded anew, as after a kill; the last batch is a short one."""
    films = standin.make_films(tmp_path / "films", 19)
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    predict.write_findings(load(folder), [films], whole, Silent(), batch_size=batch_size)
    append = resume.Journal.append

    def stopping(stop_at):
        def stops(self, *piece):
            if self.done.items == stop_at:
                raise MemoryError("stopped")
            append(self, *piece)

        return stops

    for stop_at in range(batch_size, 19, batch_size):
        with monkeypatch.context() as patched:
            patched.setattr(resume.Journal, "append", stopping(stop_at))
            with pytest.raises(MemoryError):
                predict.write_findings(load(folder), [films], out, Silent(), batch_size=batch_size)
        predict.write_findings(load(folder), [films], out, Silent(), batch_size=batch_size)
        assert out.read_bytes() == whole.read_bytes()
        out.unlink()


def test_a_decision_of_ones_own_is_another_job(many, tmp_path, monkeypatch):
    own = replace(standin.predictor().decision, temperature=(0.5,))
    (tmp_path / "own.json").write_text(json.dumps(own.to_dict()))
    standin.write(many, tmp_path / "own.csv", standin.predictor().with_decision(tmp_path / "own.json"))
    found = pd.read_csv(tmp_path / "own.csv")
    chances = standin.predictor().with_decision(own).predict([found["image"][0]])
    np.testing.assert_allclose(found["probability"][:3], chances[0], rtol=1e-5)
    stop(many, tmp_path / "other.csv", monkeypatch)
    with pytest.raises(CheckpointError, match=r"decision was \w+, is \w+"):
        standin.write(many, tmp_path / "other.csv", standin.predictor().with_decision(own))


def test_an_unknown_point_shows_before_a_film_is_read(many, tmp_path):
    model = standin.predictor()
    with pytest.raises(UnknownNameError, match="max_f1"):
        standin.write(many, tmp_path / "f.csv", model, point="maxf1")
    assert model.runtime.calls == []
    assert [p.name for p in tmp_path.iterdir()] == ["many"]


def test_strict_goes_on_once_the_film_is_mended(many, tmp_path):
    out, bad = tmp_path / "f.csv", many / "patient0" / "film002.png"
    with pytest.raises(ImageError, match=r"film002\.png"):
        standin.write(many, out, strict=True)
    bad.write_bytes((many / "patient0" / "film006.png").read_bytes())
    assert standin.write(many, out, strict=True) == predict.Counts(18, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse such names")
def test_a_name_that_is_no_text_is_written_as_its_code(many, tmp_path):
    bad = os.fsencode(many) + b"/\xff.png"
    Path(os.fsdecode(bad)).write_bytes(b"no film")
    standin.write(many, tmp_path / "f.csv")
    table = pd.read_csv(tmp_path / "f.csv")
    assert table["image"].iloc[-1].endswith("\\udcff.png")
    assert table["error"].iloc[-1]
