"""Headers of DICOM files: facts in typed form, tables that take them, deflated files; and DICOM in caches."""

import dataclasses
import io
import random
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")

from dicoms import dicom, radiograph  # noqa: E402

from zoo.core.errors import ImageError  # noqa: E402
from zoo.data.images.dicom_header import HeaderFacts, hashed, read_facts, read_header  # noqa: E402
from zoo.data.images.limits import Limits  # noqa: E402
from zoo.data.images.reading import read_image  # noqa: E402
from zoo.data.tables.reading import read_table  # noqa: E402
from zoo.data.tables.spec import TableSpec  # noqa: E402


def film(number=0):
    return np.random.default_rng(number).integers(0, 256, (40, 48))


def view_code(value, scheme="SCT"):
    item = pydicom.Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, "view"
    return [item]


def deflated(file, squeeze=lambda packed: packed):
    """The file in Deflated Explicit VR Little Endian, as PS3.5 A.5 has it."""
    meta = file.index(b"1.2.840.10008.1.2.1\0")
    head, length = file[:meta], pydicom.dcmread(io.BytesIO(file)).file_meta.FileMetaInformationGroupLength
    end = 144 + length
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = squeeze(packer.compress(file[end:]) + packer.flush())
    head = head[:-2] + (22).to_bytes(2, "little")
    rest = file[meta + 20 : end]
    grown = (length + 2).to_bytes(4, "little")
    return head[:140] + grown + head[144:] + b"1.2.840.10008.1.2.1.99" + rest + packed


def test_facts_of_a_header():
    facts, ids = read_facts(radiograph(film(), ImageLaterality="L", BodyPartExamined="CHEST"))
    assert facts == HeaderFacts("PA", "L", "056Y", "F", "CR", "CHEST")
    assert (ids.image, ids.study, ids.patient) == ("1.2.826.0.1.1.2.1", "1.2.826.0.1.1", "SECRET-ID")
    assert "SECRET" not in repr(ids)


@pytest.mark.parametrize(
    ("tags", "view"),
    [
        ({"ViewCodeSequence": view_code("399348003"), "ViewPosition": "PA"}, "AP"),
        ({"ViewCodeSequence": view_code("R-10206", "SRT"), "ViewPosition": None}, "AP"),
        ({"ViewCodeSequence": view_code("399173006"), "ViewPosition": None}, "LL"),
        ({"ViewCodeSequence": view_code("0000"), "ViewPosition": "AP"}, "AP"),
        ({"ViewPosition": None}, ""),
    ],
)
def test_the_code_of_a_view_goes_before_its_text(tags, view):
    assert read_facts(radiograph(film(), **tags))[0].view == view


def test_a_deflated_file_is_read_as_the_plain_one():
    plain = dicom(film(), 8)
    np.testing.assert_array_equal(read_image(deflated(plain)), read_image(plain))
    assert read_header(deflated(plain)).PatientID == "SECRET-ID"


def test_a_deflated_file_is_expanded_within_the_limits():
    bomb = deflated(dicom(np.zeros((2000, 2000), int), 8))
    assert len(bomb) < 30_000
    with pytest.raises(ImageError, match="expands to more than 1 MB"):
        read_image(bomb, limits=Limits(bytes=1_000_000))
    with pytest.raises(ImageError, match="expands to more than 1 MB"):
        read_header(bomb, Limits(bytes=1_000_000))


@pytest.mark.parametrize(
    ("squeeze", "reason"), [(lambda p: p[: len(p) // 2], "cut off"), (lambda p: b"\xff" * len(p), "damaged")]
)
def test_a_damaged_deflated_file_is_one_line(squeeze, reason):
    with pytest.raises(ImageError, match=reason):
        read_image(deflated(dicom(film(), 8), squeeze))


@pytest.mark.parametrize("file", [b"", b"\x89PNG", bytes(128) + b"DICM"])
def test_what_has_no_header_is_one_line(file):
    with pytest.raises(ImageError) as caught:
        read_facts(file)
    assert "\n" not in str(caught.value)


def test_mutated_headers_are_read_or_refused_in_one_line_without_identifiers():
    whole, rng = radiograph(film()), random.Random(0)
    for _ in range(300):
        file = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            at = rng.randrange(128, len(whole) - film().size)
            file[at : at + rng.randint(0, 2)] = bytes(rng.randrange(256) for _ in range(rng.randint(0, 2)))
        try:
            read_facts(bytes(file))
            read_header(bytes(file))
        except ImageError as error:
            text = str(error)
            assert ("\n" in text, "secret" in text.lower()) == (False, False)


@pytest.fixture
def folder(tmp_path):
    """Four DICOM images of two patients and a PNG, with a table of labels and of one sex."""
    for number in range(4):
        tags = {
            "PatientID": f"SECRET-{number // 2}",
            "PatientSex": "M" if number else "F",
            "PatientAge": f"04{number}Y",
        }
        tags["ViewPosition"] = "LL" if number == 3 else "AP"
        (tmp_path / f"{number}.dcm").write_bytes(
            radiograph(film(number), study=f"1.2.777.{number}", number=number, **tags)
        )
    Image.fromarray(film(4).astype(np.uint8)).save(tmp_path / "4.png")
    names = [*(f"{number}.dcm" for number in range(4)), "4.png"]
    table = pd.DataFrame({"file": names, "sex": ["", "F", "", "", ""], "Edema": [1, 0, 1, 0, 1]})
    table.to_csv(tmp_path / "labels.csv", index=False)
    return tmp_path


def test_a_table_takes_from_headers_what_it_lacks_and_says_so(folder):
    said = []
    table = read_table("csv", folder / "labels.csv", columns=TableSpec(headers=True), say=said.append)
    assert table["Sex"].fillna("").tolist() == ["F", "F", "M", "M", ""]
    assert table["Age"].tolist()[:4] == [40, 41, 42, 43]
    assert np.isnan(table["Age"].iloc[4])
    assert table["ViewCategory"].fillna("").tolist() == ["Frontal", "Frontal", "Frontal", "Lateral", ""]
    assert table["Patient_ID"].fillna("").tolist() == [*(hashed(f"SECRET-{n // 2}") for n in range(4)), ""]
    assert table["Study"].nunique() == 4
    assert "headers of DICOM images read: 4 of 5" in said
    assert "Sex from headers of DICOM images in 3 rows" in said
    assert "SECRET" not in table.to_csv() + "".join(said)


def test_without_being_asked_no_header_enters_a_table(folder):
    table = read_table("csv", folder / "labels.csv")
    assert table[["Age", "Patient_ID", "Study", "ViewPosition"]].isna().all(axis=None)


def test_patients_of_a_table_are_not_mixed_with_those_of_headers(folder):
    table = pd.read_csv(folder / "labels.csv")
    table.assign(patient=["7", "", "", "", ""]).to_csv(folder / "labels.csv", index=False)
    said = []
    found = read_table("csv", folder / "labels.csv", columns=TableSpec(headers=True), say=said.append)
    assert found["Patient_ID"].fillna("").tolist() == ["7", "", "", "", ""]
    assert "Patient_ID was not filled in 3 rows, since others name it in the table" in said


def test_a_cache_of_dicom_holds_the_pixels_and_no_identifier(folder, tmp_path):
    pytest.importorskip("tensorflow", reason="writes the records of the cache")
    from zoo.data.cache import cache_images

    paths = sorted(map(str, folder.glob("*.dcm")))
    cached = cache_images(paths, folder / "cache", 16, root=folder)
    for path in paths:
        np.testing.assert_array_equal(cached.read(path, 16), read_image(path, 16))
    for file in (folder / "cache").rglob("*"):
        if file.is_file():
            assert b"SECRET" not in file.read_bytes()
            assert b"1.2.777" not in file.read_bytes()


@pytest.mark.tensorflow_only
def test_training_on_dicom_is_training_on_the_same_images_as_png(tmp_path):
    """Bit for bit: the weights and the history of a tiny run of one stage."""
    from small_run import digest, make_recipe, make_table, split_of

    from zoo.training.stages import train

    recipe = make_recipe()
    recipe = dataclasses.replace(recipe, stages=(dataclasses.replace(recipe.stages[0], epochs=1),))
    plain = make_table(tmp_path / "png", n=40)
    as_dicom = plain.assign(Image_path=plain["Image_path"].str.replace(".png", ".dcm"))
    for old, new in zip(plain["Image_path"], as_dicom["Image_path"], strict=True):
        Path(new).write_bytes(radiograph(np.asarray(Image.open(old))))
    split = split_of(plain, recipe)
    for name, table in (("png", plain), ("dicom", as_dicom)):
        train(recipe, table, split, tmp_path / f"run-{name}")
    assert digest(tmp_path / "run-dicom") == digest(tmp_path / "run-png")
