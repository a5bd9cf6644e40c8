"""`zoo gate`: quality checks added to a release, fitted on its training images where these are known."""

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release
from PIL import Image

from zoo import cli
from zoo.core.errors import UsageError
from zoo.core.files import sha256
from zoo.core.progress import Silent
from zoo.data.phantoms.drawing import draw_phantom
from zoo.release import card
from zoo.release.inspect import inspect
from zoo.release.read import read_release
from zoo.release.trained_on import TrainedOn
from zoo.release.verify import verify
from zoo.runs.gate import add

IMAGES, TRAINED = 70, 62


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    for i in range(IMAGES):
        Image.fromarray(draw_phantom(np.random.default_rng(i), size=64)[0]).save(folder / f"{i:03d}.png")
    rows = "".join(f"{i:03d}.png,{i},{i % 2}\n" for i in range(IMAGES))
    (folder / "my.csv").write_text("image,patient,Edema\n" + rows)
    return folder


def test_it_fits_on_the_images_that_the_release_was_trained_on(data, tmp_path, capsys):
    digests = [sha256(data / f"{i:03d}.png") for i in range(TRAINED)]
    release = tiny_release(tmp_path / "tiny", members=1, trained_on=TrainedOn.of(digests, []))
    out = tmp_path / "checked"
    assert cli.main(["gate", str(release), "--data", str(data / "my.csv"), "--out", str(out)]) in (0, None)
    told = capsys.readouterr()
    assert told.out == f"{out}: quality checks fitted on {TRAINED} images of {TRAINED} patients\n"
    assert f"with {TRAINED} training images of the release (the data hold {IMAGES})" in told.err
    found = read_release(out)
    assert (int(found.gate.images), int(found.gate.patients)) == (TRAINED, TRAINED)
    assert [check.name for check in verify(out) if not check.ok] == []
    assert read_release(release).gate is None
    words = f"checks fitted on {TRAINED} images of {TRAINED} patients"
    assert [line for line in inspect(out).lines() if "quality" in line] == [f"   quality  {words}"]
    assert [line for line in inspect(release).lines() if "quality" in line] == [
        '   quality  no checks: it is "unknown"'
    ]
    assert f"quality checks, {words.partition(' ')[2]}:" in card.render(
        found.spec, None, decision=found.decision, checks=str(found.gate)
    )


def test_rejected_images_are_counted_where_they_are_evaluated_and_submitted(data, tmp_path, capsys):
    release = add(tiny_release(tmp_path / "tiny", members=1), data / "my.csv", tmp_path / "checked", Silent()).release
    folder = tmp_path / "some"
    folder.mkdir()
    for i in range(12):
        picture = Image.open(data / f"{i:03d}.png")
        noise = np.random.default_rng(i).integers(0, 256, (64, 64), np.uint8)
        (picture if i else Image.fromarray(noise)).save(folder / f"{i:03d}.png")
    rows = "".join(f"{i:03d}.png,{i},{i % 2}\n" for i in range(12))
    (folder / "my.csv").write_text("image,patient,Edema\n" + rows)
    assert cli.main(["submit", str(folder), "--model", str(release), "--out", str(tmp_path / "s.csv")]) in (0, None)
    told = capsys.readouterr()
    assert "quality checks reject 1 of 12 images" in told.err
    assert "(first: " in told.err
    assert "; rejected: 1" in told.out
    table = pd.read_csv(tmp_path / "s.csv")
    assert len(table) == 12
    assert table.notna().all(axis=None)
    out = tmp_path / "evaluated"
    asked = ["evaluate", str(release), "--data", str(folder / "my.csv"), "--out", str(out)]
    assert cli.main(asked) in (0, None)
    said = "quality checks reject 1 of 12 images and call 0 doubtful; they are evaluated as the others"
    assert said in capsys.readouterr().err
    assert said in (out / "metrics.json").read_text()


def test_without_a_record_it_compares_with_all_images_given(data, tmp_path):
    release = tiny_release(tmp_path / "tiny", members=1)
    added = add(release, data / "my.csv", tmp_path / "checked", Silent())
    assert (added.images, added.patients, added.of_training) == (IMAGES, IMAGES, False)


def test_too_few_patients_are_an_error(data, tmp_path):
    few = data / "few.csv"
    few.write_text("\n".join((data / "my.csv").read_text().splitlines()[:21]))
    with pytest.raises(UsageError, match="need images of 60 patients"):
        add(tiny_release(tmp_path / "tiny", members=1), few, tmp_path / "checked", Silent())
    assert not (tmp_path / "checked").exists()
