"""Folders to files of pooled features, on every runtime, resumed after a kill to the same bytes."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release
from films import noise_folder

import zoo
from zoo.core.errors import CheckpointError, ExportError, UsageError
from zoo.core.progress import Silent
from zoo.data.images.reading import read_image
from zoo.inference.load import load
from zoo.runs import embed
from zoo.runs.writing import Counts


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny", members=2)


@pytest.fixture
def images(tmp_path):
    return noise_folder(tmp_path / "images", "image")


def means(model, paths):
    """The features computed by hand: the mean of each member's feature map, members side by side."""
    pixels = np.stack([read_image(path, 32) for path in paths])
    maps = [np.asarray(member.backbone.predict(pixels, verbose=0)) for member in model.model.members]
    return np.concatenate([each.mean(axis=(1, 2)) for each in maps], axis=1)


def test_features_are_the_means_of_the_feature_maps_and_the_gap_head_is_linear_in_them(release, images):
    model = zoo.load(release)
    paths = [path for path in sorted(images.iterdir()) if path.stat().st_size]
    features = model.embed(paths)
    assert features.dtype == np.float32
    assert features.shape == (4, 128)
    np.testing.assert_allclose(features, means(model, paths), rtol=2e-5, atol=1e-6)
    first = zoo.load(release, members=["tiny0"])  # its head is "gap"
    head = first.model.members[0].head.linear
    logits = first.embed(paths) @ np.asarray(head.kernel) + np.asarray(head.bias)
    np.testing.assert_allclose(logits, np.concatenate([b.logits for b in first.stream(paths)]), rtol=1e-4, atol=1e-4)


def test_an_unreadable_image_is_a_row_of_nan_and_is_told(release, images):
    with pytest.warns(UserWarning, match=r"without features, its row is NaN: .*image2\.png"):
        features = zoo.load(release).embed(sorted(images.iterdir()))
    assert np.isnan(features).all(axis=1).tolist() == [False, False, True, False, False]


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_other_runtimes_give_the_features_of_keras_from_a_graph_made_once(release, images, runtime, monkeypatch):
    pytest.importorskip({"onnx": "onnxruntime"}.get(runtime, runtime))
    paths = [path for path in sorted(images.iterdir()) if path.stat().st_size]
    expected = zoo.load(release).embed(paths)
    model = zoo.load(release, runtime=runtime)
    np.testing.assert_allclose(model.embed(paths), expected, atol=1e-4 * np.abs(expected).max())

    def fails(*args, **options):
        raise ExportError("made again")

    monkeypatch.setattr("zoo.export.exporting.export", fails)
    again = zoo.load(release, runtime=runtime)
    np.testing.assert_array_equal(again.embed(paths), model.embed(paths))
    np.testing.assert_allclose(again.predict(paths), zoo.load(release).predict(paths), atol=1e-4)


def test_the_file_holds_float32_by_member_and_says_which_model(release, images, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    model, out = zoo.load(release), tmp_path / "features.parquet"
    assert embed.write_features(model, [images], out, Silent(), batch_size=2) == Counts(images=5, unreadable=1)
    table = pd.read_parquet(out)
    names = [f"{member}_{i:04d}" for member in ("tiny0", "tiny1") for i in range(64)]
    assert list(table) == ["image", *names, "error"]
    assert {str(table[name].dtype) for name in names} == {"float32"}
    paths = sorted(images.iterdir())
    assert table["image"].tolist() == [str(path) for path in paths]
    good = table["error"] == ""
    assert good.tolist() == [True, True, False, True, True]
    assert table.loc[~good, names].isna().all(axis=None)
    expected = model.embed([path for path in paths if path.stat().st_size])
    np.testing.assert_allclose(table.loc[good, names].to_numpy(), expected, rtol=1e-5, atol=1e-6)
    facts = {key.decode(): value.decode() for key, value in pq.read_schema(out).metadata.items()}
    assert facts["manifest_sha256"] == model.manifest_sha256
    assert json.loads(facts["members"]) == {"tiny0": 64, "tiny1": 64}
    assert (facts["features"], facts["image_size"]) == ("128", "32")
    csv = tmp_path / "features.csv"
    embed.write_features(model, [images], csv, Silent(), batch_size=2)
    np.testing.assert_array_equal(pd.read_csv(csv)[names].to_numpy(np.float32), table[names].to_numpy())


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_the_command_resumes_after_a_kill_to_the_very_bytes(release, images, tmp_path, ending):
    if ending == "parquet" and find_spec("pyarrow") is None:
        pytest.skip("needs pyarrow")
    whole, out = tmp_path / f"whole.{ending}", tmp_path / f"killed.{ending}"
    embed.write_features(load(str(release)), [images], whole, Silent(), batch_size=2)
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
    arguments = ["embed", str(release), str(images), "--out", str(out), "--batch-size", "2"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=os.environ)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not out.exists()
    with pytest.raises(CheckpointError, match="batch size was 2, is 4"):
        embed.write_features(load(str(release)), [images], out, Silent(), batch_size=4)
    assert embed.write_features(load(str(release)), [images], out, Silent(), batch_size=2) == Counts(5, 1)
    assert out.read_bytes() == whole.read_bytes()


def test_another_ending_is_told_before_work_begins(release, images, tmp_path):
    with pytest.raises(UsageError, match=r"\.csv or \.parquet"):
        embed.write_features(load(release), [images], tmp_path / "features.npz", Silent())
