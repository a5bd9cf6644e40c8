"""The reference of a gate, fitted on phantoms: what it rejects, what it keeps in a file, and where it travels."""

import dataclasses

import numpy as np
import pytest
from builders import tiny_release
from safetensors.numpy import load_file, save_file

import zoo
from zoo.core.errors import IntegrityError, ReleaseError
from zoo.core.progress import Silent
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.gate import reference
from zoo.gate.changes import cut_anywhere, inverted, mirrored, shuffled, turned
from zoo.gate.descriptor import FEATURES, SIZE, describe, reduce
from zoo.gate.fitting import MIN_PATIENTS, fit_images
from zoo.gate.verdict import Verdict
from zoo.release import convert
from zoo.release.read import read_release
from zoo.release.verify import verify

FITTED, UNSEEN = 120, 40


def phantom(number):
    return read_image(draw_phantom(np.random.default_rng(number), size=96)[0], 64)


def reader(path, size, channels):
    return phantom(int(path))


@pytest.fixture(scope="module")
def gate():
    found = fit_images([str(i) for i in range(FITTED)], np.arange(FITTED), 64, reader, Silent())
    assert found is not None
    return found


@pytest.fixture(scope="module")
def unseen():
    return [phantom(1000 + i) for i in range(UNSEEN)]


def qualities(gate, images):
    return [gate.judge(image, (256, 208)).quality for image in images]


def test_good_images_of_others_are_ok(gate, unseen):
    assert qualities(gate, unseen).count("ok") >= UNSEEN - 2


@pytest.mark.parametrize(
    ("change", "least"),
    [
        *((turned(quarters), UNSEEN) for quarters in (1, 2, 3)),
        (inverted, UNSEEN),
        (shuffled, UNSEEN),
        (cut_anywhere, UNSEEN - 4),
        (lambda image, rng: rng.integers(0, 256, image.shape, dtype=np.uint8), UNSEEN),
        (lambda image, rng: image // 12, UNSEEN),
        (lambda image, rng: np.minimum(image.astype(int) * 8, 255).astype(np.uint8), UNSEEN - 4),
    ],
    ids=["90", "180", "270", "inverted", "shuffled", "cropped", "noise", "too dark", "too bright"],
)
def test_faulty_images_are_rejected(gate, unseen, change, least):
    rng = np.random.default_rng(0)
    changed = [read_image(np.ascontiguousarray(change(image[..., 0], rng)), 64) for image in unseen]
    assert qualities(gate, changed).count("rejected") >= least


def test_a_mirrored_image_is_at_most_doubtful(gate, unseen):
    found = qualities(gate, [mirrored(image, np.random.default_rng(0)) for image in unseen])
    assert found.count("rejected") <= 2


def test_the_reason_is_said(gate, unseen):
    image = unseen[0]
    assert gate.judge(np.rot90(image, 1), (256, 208)).reason.startswith("looks turned by 90 degrees anticlockwise")
    assert gate.judge(255 - image, (256, 208)).reason.startswith("looks inverted")
    assert gate.judge(image // 12, (256, 208)).reason.startswith("almost no contrast")
    assert gate.judge(image, (30, 40)) == Verdict("doubtful", "30 x 40 pixels: the model takes 64 x 64")
    assert gate.judge(image, (15, 40)) == Verdict("rejected", "15 x 40 pixels: the model takes 64 x 64")
    noise = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    assert gate.judge(noise, (256, 208)).reason.startswith("unlike the training images: no chest radiograph")


def test_a_descriptor_sees_neither_brightness_nor_contrast():
    image = phantom(0)
    dim = (image // 2 + 60).astype(np.uint8)
    assert describe(reduce(image)).shape == (FEATURES,)
    assert reduce(image).shape == (SIZE, SIZE)
    np.testing.assert_allclose(describe(reduce(dim)), describe(reduce(image)), atol=0.05)
    ramp = describe(np.tile(np.arange(64, dtype=np.uint8), (64, 1)))[256:].reshape(64, 8)
    assert (ramp.argmax(1) == 0).all()  # edges that run to the right are in the first direction alone
    assert np.abs(ramp[:, 1:]).max() == 0


def test_too_few_patients_have_no_reference():
    class Told(Silent):
        text = ""

        def message(self, text):
            self.text = text

    told = Told()
    few = MIN_PATIENTS - 1
    whose = np.arange(MIN_PATIENTS + 5) % few
    assert fit_images([str(i) for i in range(len(whose))], whose, 64, reader, told) is None
    assert told.text == f"no quality checks: readable images of fewer than {MIN_PATIENTS} patients"


def test_a_release_carries_it(gate, unseen, tmp_path):
    folder = tiny_release(tmp_path / "tiny", members=1, gate=gate)
    held = read_release(folder).gate
    for field in dataclasses.fields(gate):
        np.testing.assert_array_equal(getattr(held, field.name), getattr(gate, field.name))
    (check,) = (check for check in verify(folder) if check.name == "gate")
    assert (check.ok, check.detail) == (True, "quality checks fitted on 120 images of 120 patients")
    model = zoo.load(folder, on_reject="skip")
    images = [unseen[0], np.rot90(unseen[0])]
    with pytest.warns(UserWarning, match="reject 1 of 2 images"):
        table = model.findings(images)
    assert table["quality"].tolist() == ["ok"] * 3 + ["rejected"] * 3
    assert table["probability"].isna().tolist() == [False] * 3 + [True] * 3
    half = convert.release_of(folder, tmp_path / "half", dtype="float16")
    np.testing.assert_array_equal(read_release(half).gate.kernel, gate.kernel)


def test_a_release_without_it_says_unknown(unseen, tmp_path):
    folder = tiny_release(tmp_path / "tiny", members=1)
    assert read_release(folder).gate is None
    table = zoo.load(folder).findings(unseen[:1])
    assert set(table["quality"]) == {"unknown"}
    assert set(table["reason"]) == {"the model has no reference of its training images"}


def damaged(values, name):
    if name == "shape":
        values["mean"] = values["mean"][1:]
    elif name == "not finite":
        values["kernel"] = np.full_like(values["kernel"], np.nan)
    elif name == "not positive":
        values["rest"] = np.zeros((), np.float32)
    elif name == "so large":
        values["basis"] = np.full_like(values["basis"], 3e38)
    elif name == "missing":
        del values["tones"]
    else:
        values["more"] = np.zeros(3, np.float32)
    return values


@pytest.mark.parametrize("name", ["shape", "not finite", "not positive", "so large", "missing", "extra"])
def test_a_damaged_file_is_refused(gate, tmp_path, name):
    path = tmp_path / reference.FILE
    reference.save(gate, path)
    save_file(damaged(load_file(path), name), path)
    with pytest.raises(ReleaseError, match=r"gate\.safetensors"):
        reference.load(path)


def test_another_version_is_not_used(gate, tmp_path):
    path = tmp_path / reference.FILE
    reference.save(gate, path)
    save_file({"version": np.array(reference.VERSION + 1, np.int32), "new": np.zeros(3, np.float32)}, path)
    assert reference.load(path) is None


def test_an_altered_file_is_not_read(gate, tmp_path):
    folder = tiny_release(tmp_path / "tiny", members=1, gate=gate)
    (folder / reference.FILE).write_bytes((folder / reference.FILE).read_bytes()[:-4] + b"1234")
    with pytest.raises(IntegrityError, match="altered"):
        zoo.load(folder)
