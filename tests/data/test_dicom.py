"""Radiographs in DICOM files: what is displayed, against dcmtk where it is installed; what is refused, and why."""

import io
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

pydicom = pytest.importorskip("pydicom", reason="needs the extra dicom")
imagecodecs = pytest.importorskip("imagecodecs", reason="needs the extra dicom")

from dicoms import dicom, lookup, with_stream  # noqa: E402
from pydicom import uid  # noqa: E402

from zoo.core.errors import ImageError  # noqa: E402
from zoo.data.images.limits import Limits  # noqa: E402
from zoo.data.images.listing import list_images  # noqa: E402
from zoo.data.images.reading import read_image  # noqa: E402

RNG = np.random.default_rng(0)
needs_dcmtk = pytest.mark.skipif(shutil.which("dcm2pnm") is None, reason="needs dcm2pnm (Debian package dcmtk)")


def noise(bits, signed=0):
    low = -(1 << bits - 1) if signed else 0
    values = RNG.integers(low, low + (1 << bits), (40, 50))
    values[0, :2] = low, low + (1 << bits) - 1
    return values


def smooth(bits):
    y, x = np.mgrid[0:96, 0:128]
    return ((np.sin(x / 20) + np.cos(y / 15) + 2) / 4 * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def read(file, **limits):
    return read_image(file, limits=Limits(**limits))[..., 0].astype(int)


def by_dcmtk(file, folder, *options):
    source, shown = folder / "a.dcm", folder / "a.pgm"
    source.write_bytes(file)
    subprocess.run(["dcm2pnm", *options, str(source), str(shown)], check=True, capture_output=True)
    return np.asarray(Image.open(shown)).astype(int)


@needs_dcmtk
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
def test_a_window_gives_the_pixels_of_dcmtk(tmp_path, bits, signed, function, photometric):
    """To one grey level: dcmtk cuts fractions off, where this decoder rounds."""
    values = noise(bits, signed)
    file = dicom(
        values, bits, PixelRepresentation=signed, PhotometricInterpretation=photometric, VOILUTFunction=function,
        WindowCenter=float(values.mean().round()) * 2 - 100 + 6, WindowWidth=float(np.ptp(values) // 3) * 2,
        RescaleSlope=2, RescaleIntercept=-100,
    )  # fmt: skip
    assert np.abs(read(file) - by_dcmtk(file, tmp_path, "+Wi", "1")).max() <= 1


@needs_dcmtk
@pytest.mark.parametrize("syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian, uid.ExplicitVRBigEndian])
def test_byte_orders_give_the_pixels_of_dcmtk(tmp_path, syntax):
    file = dicom(noise(12), 12, syntax, WindowCenter=2048, WindowWidth=3000)
    assert np.abs(read(file) - by_dcmtk(file, tmp_path, "+Wi", "1")).max() <= 1


@needs_dcmtk
def test_a_high_bit_lookup_tables_and_eight_bits_give_the_pixels_of_dcmtk(tmp_path):
    curve = (np.linspace(0, 1, 4096) ** 2 * 65535).astype(int)
    voi = {"VOILUTSequence": lookup(0, 16, curve)}
    short = {"VOILUTSequence": lookup(100, 12, np.linspace(0, 1, 2000) ** 2 * 4095)}
    modality = {
        "ModalityLUTSequence": lookup(0, 16, curve, ModalityLUTType="US"),
        "WindowCenter": 3e4,
        "WindowWidth": 4e4,
    }
    window = {"WindowCenter": 2048, "WindowWidth": 3000}
    for file, option in (
        (dicom(noise(12), 12, high=15, **window), ("+Wi", "1")),
        (dicom(noise(12), 12, **voi), ("+Wl", "1")),
        (dicom(noise(12), 12, **short), ("+Wl", "1")),
        (dicom(noise(12), 12, **modality), ("+Wi", "1")),
        (dicom(noise(8), 8), ()),
    ):
        assert np.abs(read(file) - by_dcmtk(file, tmp_path, *option)).max() <= 1


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_every_codec_gives_the_uncompressed_pixels(bits):
    values = smooth(bits)
    plain = dicom(values, bits, WindowCenter=float(values.mean()), WindowWidth=float(np.ptp(values)) * 0.8)
    streams = {
        uid.JPEGLosslessSV1: imagecodecs.ljpeg_encode(values, bitspersample=bits),
        uid.JPEGLSLossless: imagecodecs.jpegls_encode(values),
        uid.JPEG2000Lossless: imagecodecs.jpeg2k_encode(
            values, level=0, codecformat="j2k", bitspersample=bits, reversible=True
        ),
    }
    for syntax, stream in streams.items():
        np.testing.assert_array_equal(read(with_stream(plain, stream, syntax)), read(plain), err_msg=syntax.name)
    packed = pydicom.dcmread(io.BytesIO(plain))
    packed.compress(uid.RLELossless)
    file = io.BytesIO()
    pydicom.dcmwrite(file, packed)
    np.testing.assert_array_equal(read(file.getvalue()), read(plain))
    if bits in (8, 12):
        lossy = imagecodecs.jpeg8_encode(values, level=98, bitspersample=bits)
        syntax = uid.JPEGBaseline8Bit if bits == 8 else uid.JPEGExtended12Bit
        assert np.abs(read(with_stream(plain, lossy, syntax)) - read(plain)).max() <= 2


def test_eight_bits_are_the_pixels_of_the_same_png():
    values = smooth(8)
    png = io.BytesIO()
    Image.fromarray(values).save(png, "PNG")
    np.testing.assert_array_equal(read(dicom(values, 8)), read(png.getvalue()))
    for tags in ({"PhotometricInterpretation": "MONOCHROME1"}, {"PresentationLUTShape": "INVERSE"}):
        np.testing.assert_array_equal(read(dicom(values, 8, **tags)), 255 - read(png.getvalue()))
    both = {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"}  # DX states it twice
    np.testing.assert_array_equal(read(dicom(values, 8, **both)), 255 - read(png.getvalue()))


def test_inversion_does_not_depend_on_a_bright_marker():
    """Loaders that invert by the largest pixel shift the whole image where a marker is burned in."""
    values = smooth(12) // 2
    window = {"WindowCenter": 1024, "WindowWidth": 2048, "PhotometricInterpretation": "MONOCHROME1"}
    marked = values.copy()
    marked[:4, :4] = 4095
    np.testing.assert_array_equal(read(dicom(marked, 12, **window))[4:], read(dicom(values, 12, **window))[4:])


def test_overlays_in_unused_bits_are_left_out():
    values = smooth(12)
    window = {"WindowCenter": 2048, "WindowWidth": 3000}
    dataset = pydicom.dcmread(io.BytesIO(dicom(values, 12, **window)))
    pixels = np.frombuffer(dataset.PixelData, "<u2") | (RNG.integers(0, 2, values.size) << 15).astype("<u2")
    dataset.PixelData = pixels.tobytes()
    file = io.BytesIO()
    pydicom.dcmwrite(file, dataset)
    np.testing.assert_array_equal(read(file.getvalue()), read(dicom(values, 12, **window)))


def test_padding_is_black_and_enters_no_percentile():
    values = smooth(12) // 2
    padded = values.copy()
    padded[:, :30] = 4000
    padded[0, 0] = 3990
    whole = read(dicom(values[:, 30:], 12))
    shown = read(dicom(padded, 12, PixelPaddingValue=4000, PixelPaddingRangeLimit=3990))
    assert (shown[:, :30] == 0).all()
    np.testing.assert_array_equal(shown[:, 30:], whole)


def test_without_a_window_the_percentiles_of_the_image_are_black_and_white():
    values = np.repeat(np.arange(1000), 4).reshape(50, 80) + 500
    shown = read(dicom(values, 12))
    low, high = 500 + 4, 500 + 994  # the values at 0.5 and 99.5 percent of the pixels
    wanted = np.floor(255 * np.clip((values - low) / (high - low), 0, 1) + 0.5)
    np.testing.assert_array_equal(shown, wanted)


def test_a_window_without_a_width_is_left_out_with_a_word():
    with pytest.warns(UserWarning, match="window of width 0"):
        shown = read(dicom(smooth(12), 12, WindowCenter=100, WindowWidth=0))
    np.testing.assert_array_equal(shown, read(dicom(smooth(12), 12)))


REFUSED = {
    "modality": (dicom(smooth(12), 12, Modality="CT"), "modality 'CT'.*--any-modality"),
    "part": (dicom(smooth(12), 12, BodyPartExamined="KNEE"), "body part 'KNEE'"),
    "frames": (dicom(smooth(12), 12, NumberOfFrames=3), "3 frames"),
    "bits": (dicom(smooth(12), 12, BitsAllocated=32), "32 bits allocated"),
    "photometric": (dicom(smooth(12), 12, PhotometricInterpretation="HSV"), "HSV"),
    "slope": (dicom(smooth(12), 12, RescaleSlope=0), "slope of 0"),
    "table": (dicom(smooth(12), 12, VOILUTSequence=lookup(0, 17, np.arange(4096))), "of 17 bits"),
    "padding": (dicom(smooth(8) * 0 + 9, 8, PixelPaddingValue=9), "every pixel is padding"),
    "size": (
        with_stream(dicom(smooth(8), 8), imagecodecs.jpeg8_encode(smooth(8)[:48]), uid.JPEGBaseline8Bit),
        "128 x 96 pixels whose codestream has 128 x 48",
    ),
    "cut": (
        with_stream(dicom(smooth(8), 8), imagecodecs.jpeg8_encode(smooth(8))[:-200], uid.JPEGBaseline8Bit),
        "JPEG is cut off",
    ),
    "short": (dicom(smooth(12), 12, Rows=200), "less than expected"),
    "deflated": (bytes(128) + b"DICM\x02\0\x10\0UI\x16\x001.2.840.10008.1.2.1.99" + bytes(99), "deflated"),
    "header": (bytes(128) + b"DICM\x02\0\x10\0", "cut off"),
    "no photometric": (dicom(smooth(12), 12, PhotometricInterpretation=None), "without PhotometricInterpretation"),
    "no sign": (dicom(smooth(12), 12, PixelRepresentation=None), "without PixelRepresentation"),
    "syntax": (
        dicom(smooth(8), 8).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.9.1\0", 1),
        "no transfer syntax",
    ),
    "item": (dicom(smooth(8), 8).replace(smooth(8).tobytes()[:4], b"\xfe\xff\0\xe0", 1), "says that they are not"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_is_one_line_with_the_reason(case):
    file, reason = REFUSED[case]
    with pytest.raises(ImageError, match=reason) as caught:
        read(file)
    assert "\n" not in str(caught.value)
    assert "SECRET" not in str(caught.value).upper()


@pytest.mark.parametrize("tags", [{"Modality": "OT"}, {"BodyPartExamined": "HAND"}])
def test_other_modalities_and_parts_can_be_insisted_on(tags):
    np.testing.assert_array_equal(read(dicom(smooth(8), 8, **tags), any_modality=True), smooth(8))


@pytest.mark.parametrize("tags", [{"Modality": ""}, {"BodyPartExamined": ""}, {"BodyPartExamined": "Chest PA"}])
def test_what_is_not_stated_is_not_refused(tags):
    np.testing.assert_array_equal(read(dicom(smooth(8), 8, **tags)), smooth(8))


@pytest.mark.parametrize(
    ("tags", "says"),
    [
        ({"PresentationIntentType": "FOR PROCESSING"}, "FOR PROCESSING"),
        ({"BurnedInAnnotation": "YES"}, "burned-in"),
        ({"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "IDENTITY"}, "MONOCHROME1 is obeyed"),
    ],
)
def test_what_changes_the_meaning_is_said(tags, says):
    with pytest.warns(UserWarning, match=says):
        read(dicom(smooth(8), 8, **tags))


def test_a_file_without_preamble_or_extension_is_found_and_read(tmp_path):
    whole = dicom(smooth(8), 8)
    (tmp_path / "IM000001").write_bytes(whole)
    (tmp_path / "bare").write_bytes(whole[132:])
    assert [path.name for path in list_images(tmp_path)] == ["IM000001", "bare"]
    for name in ("IM000001", "bare"):
        np.testing.assert_array_equal(read(tmp_path / name), smooth(8))


def test_mutants_are_an_image_or_one_line_within_bounds():
    """Bytes changed, cut out and repeated, in headers and streams: nothing but `ImageError`, and no long decode."""
    window = {"WindowCenter": 2048, "WindowWidth": 3000}
    parents = [
        dicom(smooth(12), 12, **window),
        dicom(smooth(12), 12, uid.ImplicitVRLittleEndian, VOILUTSequence=lookup(0, 12, np.arange(4096))),
        with_stream(dicom(smooth(8), 8), imagecodecs.jpeg8_encode(smooth(8)), uid.JPEGBaseline8Bit),
        with_stream(dicom(smooth(12), 12), imagecodecs.jpegls_encode(smooth(12)), uid.JPEGLSLossless),
        with_stream(dicom(smooth(16), 16), imagecodecs.ljpeg_encode(smooth(16)), uid.JPEGLosslessSV1),
        with_stream(
            dicom(smooth(12), 12),
            imagecodecs.jpeg2k_encode(smooth(12), level=0, codecformat="j2k", bitspersample=12, reversible=True),
            uid.JPEG2000Lossless,
        ),
    ]
    rng = np.random.default_rng(1)
    read_at_all, lines = 0, []
    for index in range(int(os.environ.get("ZOO_MUTANTS", "300"))):
        mutant = bytearray(parents[index % len(parents)])
        most = 900 if index % 2 else len(mutant)  # half of them in the header
        for _ in range(int(rng.integers(1, 5))):
            at = int(rng.integers(128, min(most, len(mutant))))
            kind = rng.integers(4)
            if kind == 0:
                mutant[at] = int(rng.integers(256))
            elif kind == 1:
                del mutant[at : at + int(rng.integers(1, 40))]
            elif kind == 2:
                mutant[at:at] = mutant[at : at + int(rng.integers(1, 40))]
            else:
                mutant[at : at + 4] = b"\xff\xff\xff\xff"
        start = time.thread_time()
        try:
            read_at_all += read(bytes(mutant)).size > 0
        except ImageError as error:
            lines.append(str(error))
        assert time.thread_time() - start < 5
    assert not any("\n" in line for line in lines)
    assert read_at_all > 30


def test_without_pydicom_the_message_names_the_extra(tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(dicom(smooth(8), 8))
    code = (
        "import sys; sys.modules['pydicom'] = None\n"
        "from zoo.data.images.reading import read_image\n"
        f"try: read_image({str(path)!r})\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"ImageError {path}: a DICOM file: pip install 'xrayslam-zoo[dicom]' to read it"


@pytest.mark.real
def test_a_real_radiograph_and_its_negative(dicom_dir):
    """MONOCHROME1 is obeyed even where the file's author mislabelled it; the tagged twin is the exact negative."""
    plain, tagged = (read(dicom_dir / f"RSNA_{name}_8bit_JPEG-baseline.dcm") for name in ("CR_MONO2", "fake_MONO1"))
    np.testing.assert_array_equal(tagged, 255 - plain)
    raw = read(dicom_dir / "RG1_chest_MONO1_15bit_J2K-lossy.dcm")
    assert raw.shape == (1955, 1841)
