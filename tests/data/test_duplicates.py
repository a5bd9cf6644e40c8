import json

import numpy as np
import pandas as pd
import pytest
from films import FILM, GREY, encoded
from PIL import Image

from zoo.core.errors import SplitError
from zoo.data.duplicates import SplitImages, fingerprints, split_images
from zoo.data.splits import SplitSpec, make_split
from zoo.evaluation.leakage import duplicate_images


def test_a_film_saved_again_is_found_by_its_pixels_and_a_copy_by_its_bytes(tmp_path):
    (tmp_path / "train.png").write_bytes(encoded(FILM, "PNG"))
    (tmp_path / "copy.png").write_bytes(encoded(FILM, "PNG"))
    (tmp_path / "again.bmp").write_bytes(encoded(FILM, "BMP"))
    (tmp_path / "colour.png").write_bytes(encoded(FILM.convert("RGB"), "PNG"))
    (tmp_path / "turned.png").write_bytes(encoded(Image.fromarray(np.ascontiguousarray(GREY.T)), "PNG"))
    (tmp_path / "reshaped.png").write_bytes(encoded(Image.fromarray(GREY.reshape(GREY.shape[::-1])), "PNG"))
    names = ("copy.png", "again.bmp", "colour.png", "turned.png", "reshaped.png")
    train = fingerprints([tmp_path / "train.png"])
    evaluated = fingerprints([tmp_path / name for name in names])
    found = duplicate_images(train.hashes, evaluated.hashes)
    by = {name.rpartition("/")[2]: kind for name, (_, kind) in found.with_train.items()}
    assert by == {"copy.png": "bytes", "again.bmp": "pixels", "colour.png": "pixels"}
    assert [len(group) for group in found.within] == [3]
    assert evaluated.unreadable == {}


def test_unreadable_files_are_reported_and_stop_nothing(tmp_path):
    (tmp_path / "cut.png").write_bytes(encoded(FILM, "PNG")[:60])
    (tmp_path / "text.png").write_text("no image")
    (tmp_path / "film.png").write_bytes(encoded(FILM, "PNG"))
    paths = [tmp_path / name for name in ("cut.png", "missing.png", "text.png", "film.png")]
    done = []
    found = fingerprints(paths, workers=2, on_file=lambda: done.append(1))
    assert list(found.hashes) == [str(path) for path in paths]
    assert [sorted(hashes) for hashes in found.hashes.values()] == [["bytes"], [], ["bytes"], ["bytes", "pixels"]]
    assert list(found.unreadable) == [str(path) for path in paths[:3]]
    assert found.unreadable[str(paths[1])] == "no such file"
    assert not any("bytes:" in reason for reason in found.unreadable.values())
    assert len(done) == 4


def test_bytes_alone_decode_nothing(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    found = fingerprints([tmp_path / "text.png"], pixels=False)
    assert found.unreadable == {}
    assert list(found.hashes[str(tmp_path / "text.png")]) == ["bytes"]


def test_the_names_of_a_split_are_read_without_its_table(tmp_path):
    names = [f"film{i}.png" for i in range(30)]
    table = pd.DataFrame({"Image_name": names, "Patient_ID": names, "Edema": np.tile([0.0, 1.0], 15)})
    split = make_split(table, ("Edema",), SplitSpec())
    split.save(tmp_path / "split.json")
    found = split_images(tmp_path / "split.json")
    assert {part: films.names for part, films in found.items()} == split.names
    assert {part: films.patients for part, films in found.items()} == split.patients == split.names
    assert split_images(tmp_path)["train"] == found["train"]


def test_a_manifest_without_patients_has_names_alone(tmp_path):
    (tmp_path / "split.json").write_text(json.dumps({"parts": {"train": {"images": ["a.png"]}}}))
    assert split_images(tmp_path)["train"] == SplitImages(("a.png",))
    (tmp_path / "split.json").write_text(
        json.dumps({"parts": {"train": {"images": ["a.png"], "patients": ["1", "2"]}}})
    )
    with pytest.raises(SplitError, match=r"2 patients of 1 image$"):
        split_images(tmp_path)


@pytest.mark.parametrize("images", [[1], "film.png"])
def test_a_manifest_lists_names(tmp_path, images):
    (tmp_path / "split.json").write_text(json.dumps({"parts": {"train": {"images": images}}}))
    with pytest.raises(SplitError, match="the images of 'train' must be a list of names"):
        split_images(tmp_path)


@pytest.mark.parametrize("text", ["{}", "[]", "no json"])
def test_another_file_is_no_manifest(tmp_path, text):
    (tmp_path / "split.json").write_text(text)
    with pytest.raises(SplitError, match="not a split manifest"):
        split_images(tmp_path)


def test_no_manifest(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such split manifest"):
        split_images(tmp_path)
