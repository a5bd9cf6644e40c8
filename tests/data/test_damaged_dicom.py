"""DICOM files with one element that lies: an image or one line, soon, and the rows of the others stay.

ZOO_MUTANTS=3000 tries as many.
"""

import os
import resource
import struct
import time
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs the extra dicom")
imagecodecs = pytest.importorskip("imagecodecs", reason="needs the extra dicom")

import standin  # noqa: E402
from damaged_dicoms import DAMAGE, Element, elements, mutant  # noqa: E402
from dicoms import lookup, radiograph, with_stream  # noqa: E402
from pydicom import uid  # noqa: E402
from pydicom.datadict import tag_for_keyword  # noqa: E402

from zoo.core.errors import ImageError  # noqa: E402
from zoo.data.images.dicom_header import read_facts  # noqa: E402
from zoo.data.images.reading import read_image  # noqa: E402

VALUES = np.random.default_rng(0).integers(0, 4096, (40, 48))
PALE = (VALUES >> 4).astype(np.uint8)


def parents():
    deep = VALUES.astype(np.uint16)
    return [
        radiograph(VALUES, 12, WindowCenter=2048, WindowWidth=3000, RescaleSlope=2, RescaleIntercept=-1),
        radiograph(VALUES, 12, VOILUTSequence=lookup(0, 12, np.arange(4096)), PixelPaddingValue=0),
        with_stream(radiograph(PALE), imagecodecs.jpeg8_encode(PALE), uid.JPEGBaseline8Bit),
        with_stream(radiograph(VALUES, 12), imagecodecs.jpegls_encode(deep), uid.JPEGLSLossless),
        with_stream(radiograph(VALUES, 16), imagecodecs.ljpeg_encode(deep), uid.JPEGLosslessSV1),
        with_stream(
            radiograph(VALUES, 12),
            imagecodecs.jpeg2k_encode(deep, level=0, codecformat="j2k", bitspersample=12, reversible=True),
            uid.JPEG2000Lossless,
        ),
    ]


def test_elements_are_those_of_the_file():
    for file in parents():
        assert file[:132] + b"".join(each.encoded() for each in elements(file)) == file


@pytest.mark.parametrize("keyword", ["PixelRepresentation", "Rows", "RescaleSlope", "Modality", "PatientSex"])
def test_a_value_that_is_a_sequence_is_refused_without_its_text(keyword):
    """What lies in it may be the name of a patient."""
    number = tag_for_keyword(keyword)
    tag = number >> 16, number & 0xFFFF
    parts = [each for each in elements(parents()[0]) if each.tag != tag]
    name = Element((0x0010, 0x0010), b"PN", b"Secret^Name ").encoded()
    nested = Element(tag, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, len(name)) + name)
    parts = sorted([*parts, nested], key=lambda each: each.tag)
    file = parents()[0][:132] + b"".join(each.encoded() for each in parts)
    assert read_facts(file)[0].sex == ("" if keyword == "PatientSex" else "F")
    if keyword != "PatientSex":
        with pytest.raises(ImageError, match=f"a DICOM file whose {keyword} is a sequence$"):
            read_image(file)


def test_a_value_without_an_end_is_cut_off():
    parts = [
        each._replace(value=each.value * 500) if each.tag == (0x28, 0x100) else each for each in elements(parents()[0])
    ]
    file = parents()[0][:132] + b"".join(each.encoded() for each in parts)
    with pytest.raises(ImageError, match=r"a DICOM file with \[16, 16, 16, 16, \.\.\.\] bits allocated for a pixel"):
        read_image(file)


def test_an_identifier_in_the_place_of_a_number_or_a_code_is_not_shown():
    wrong = (
        ("NumberOfFrames", b"IS", b"1.2.826.0.1.1", "NumberOfFrames"),
        ("Modality", b"CS", b"Secret^Name", "modality"),
    )
    for keyword, vr, value, called in wrong:
        number = tag_for_keyword(keyword)
        tag = number >> 16, number & 0xFFFF
        parts = [each for each in elements(parents()[0]) if each.tag != tag]
        parts = sorted([*parts, Element(tag, vr, value + bytes(len(value) % 2))], key=lambda each: each.tag)
        with pytest.raises(ImageError, match=f"{called} a text of 1[13] characters"):
            read_image(parents()[0][:132] + b"".join(each.encoded() for each in parts))


@pytest.mark.filterwarnings("ignore::UserWarning:zoo", "ignore:DICOM images")
def test_a_damaged_element_is_an_image_or_one_line_and_changes_no_other_row(tmp_path):
    files, model = parents(), standin.predictor()
    first, middle, last = (tmp_path / name for name in ("1.dcm", "2.dcm", "3.dcm"))
    first.write_bytes(files[0])
    last.write_bytes(files[2])
    (alone,) = model.stream([first, last], batch_size=2)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ends: Counter[str] = Counter()
    for number in range(int(os.environ.get("ZOO_MUTANTS", "150"))):
        rng = np.random.default_rng([15, number])
        data, done = mutant(files[number % len(files)], rng)
        middle.write_bytes(data)
        start = time.thread_time()
        (batch,) = model.stream([first, middle, last], batch_size=3)
        assert time.thread_time() - start < 5, (number, done)
        np.testing.assert_array_equal(batch.logits[[0, 2]], alone.logits, err_msg=f"{number}: {done}")
        error = batch.errors[1]
        assert "\n" not in error, (number, done, error)
        assert len(error) < 500, (number, done, error)
        assert not any(secret in error for secret in ("SECRET", "Secret", "1.2.826")), (number, done, error)
        assert bool(error) == bool(np.isnan(batch.logits[1]).any()), (number, done)
        ends[f"{done.partition(',')[0]}: {'refused' if error else 'read'}"] += 1
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # KiB
    assert {f"{name}: refused" for name in ("value", "removed", "length")} <= {*ends}
    assert {name.partition(":")[0] for name in ends} == {*DAMAGE}
