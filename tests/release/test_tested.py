"""The scores that a release keeps of its test part: chosen, written, read strictly, kept by copies."""

import json

import numpy as np
import pytest
from builders import FINDINGS3, tiny_release
from safetensors.numpy import save_file

from zoo.core.errors import IntegrityError, ReleaseError
from zoo.core.progress import Silent
from zoo.evaluation.scores import Scores
from zoo.release import manifest, tested
from zoo.release.convert import release_of
from zoo.release.folder import ReleaseFolder
from zoo.release.install import carry, copy
from zoo.release.read import read_release
from zoo.release.tested import OwnScores, choose
from zoo.release.verify import verify
from zoo.runs.tested import own_scores

K = len(FINDINGS3)


@pytest.fixture
def release(tmp_path):
    folder = tiny_release(tmp_path / "release", members=1)
    rng = np.random.default_rng(0)
    own = OwnScores(rng.normal(size=(9, K)).astype(np.float32), np.arange(9, dtype=np.int32), np.zeros(9, np.uint8))
    own.write(tmp_path)
    carry(folder, {tested.FILE: tmp_path / tested.FILE})
    return folder


def replaced(folder, **tensors):
    sound = {
        "logits": np.zeros((3, K), np.float32),
        "patients": np.zeros(3, np.int32),
        "quality": np.zeros(3, np.uint8),
    }
    given = {name: values for name, values in (sound | tensors).items() if values is not None}
    save_file(given, folder / tested.FILE)
    listing = json.loads((folder / manifest.MANIFEST).read_text())
    listing["files"] = manifest.to_json(manifest.describe(folder))
    manifest.write_json(folder / manifest.MANIFEST, listing)
    return folder


def test_it_is_read_verified_and_kept_by_copies_and_conversions(release, tmp_path):
    own = read_release(release).tested
    assert own.logits.shape == (9, K)
    for other in (copy(release, tmp_path / "copy"), release_of(release, tmp_path / "half", dtype="float16")):
        assert read_release(other).tested.logits.tolist() == own.logits.tolist()
    checks = {check.name: check for check in verify(release)}
    assert checks["tested"].detail == "9 images of 9 patients of the test part"
    assert all(check.ok for check in checks.values())


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"logits": np.zeros((3, K + 1), np.float32)}, "expected logits F32"),
        ({"logits": np.zeros((2, K), np.float32)}, "expected logits F32"),
        ({"logits": np.zeros((3, K), np.float16)}, "expected logits F32"),
        ({"patients": None}, "expected logits F32"),
        ({"names": np.zeros(3, np.uint8)}, "expected logits F32"),
        (dict.fromkeys(("patients", "quality"), np.zeros(0, np.int32)), "expected logits F32"),
        ({"logits": np.full((3, K), np.nan, np.float32)}, "not finite"),
        ({"quality": np.full(3, 4, np.uint8)}, "quality must be 0 to 3, got 4"),
    ],
)
def test_another_file_in_its_place_is_refused(release, tensors, said):
    with pytest.raises(ReleaseError, match=said):
        _ = ReleaseFolder(replaced(release, **tensors)).tested


def test_an_altered_file_and_one_that_is_too_large_are_not_opened(release):
    (release / tested.FILE).write_bytes((release / tested.FILE).read_bytes()[:-1] + b"1")
    with pytest.raises(IntegrityError):
        _ = ReleaseFolder(release).tested
    listing = json.loads((release / manifest.MANIFEST).read_text())
    listing["files"][tested.FILE]["size"] = tested.MAX_BYTES + 1
    manifest.write_json(release / manifest.MANIFEST, listing)
    with pytest.raises(IntegrityError, match="too many for this file"):
        _ = ReleaseFolder(release).tested


def test_of_many_images_those_of_whole_patients_are_chosen():
    patients = np.arange(tested.MAX_IMAGES) // 3
    rows, numbers = choose(np.concatenate([patients, patients]), 14)
    assert tested.MAX_IMAGES - 6 <= len(rows) <= tested.MAX_IMAGES
    chosen = np.concatenate([patients, patients])[rows]
    assert all(np.bincount(numbers)[numbers] == np.bincount(patients)[chosen] * 2)
    assert not (np.diff(rows) > 0).all()
    few, _ = choose(np.arange(5000), 1024)
    assert len(few) == tested.MAX_LOGITS // 1024
    assert not len(choose(np.zeros(tested.MAX_IMAGES + 1), 14)[0])


def test_the_test_part_is_kept_without_names_or_order_and_is_judged(tmp_path):
    class Gate:
        def judge(self, pixels, decoded):
            from zoo.gate.verdict import Verdict

            assert pixels.shape == (16, 16, 1)
            return Verdict("rejected", "dark") if decoded == (20, 20) else Verdict()

    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(4):
        Image.fromarray(rng.integers(0, 255, (20 + i, 20), np.uint8)).save(tmp_path / f"{i}.png")
    logits = rng.normal(size=(5, K))
    scores = Scores(logits, np.zeros((5, K)), FINDINGS3, "test", patients=np.array(["b", "a", "b", "c", "d"]))
    own = own_scores(scores, [str(tmp_path / f"{i}.png") for i in range(5)], Gate(), 16, Silent(), 3)
    order = [int(np.flatnonzero((logits.astype(np.float32) == row).all(axis=1))[0]) for row in own.logits]
    assert sorted(order) == [0, 1, 2, 3, 4]
    assert order != sorted(order)
    words = {row: tested.QUALITIES[word] for row, word in zip(order, own.quality, strict=True)}
    assert words == {0: "rejected", 1: "ok", 2: "ok", 3: "ok", 4: "unknown"}
    numbers = dict(zip(order, own.patients.tolist(), strict=True))
    assert numbers[0] == numbers[2]
    assert len(set(numbers.values())) == 4
