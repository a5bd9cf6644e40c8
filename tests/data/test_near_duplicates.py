"""Perceptual hashes: copies that were resized, compressed or changed in contrast are near, other images are not."""

import numpy as np
import pytest
from PIL import Image

from zoo.data import near_duplicates
from zoo.data.near_duplicates import BITS, NEAR, Pair, hash_images, near_pairs
from zoo.data.phantoms.drawing import draw_phantom


@pytest.fixture(scope="module")
def phantoms():
    rng = np.random.default_rng(0)
    return [Image.fromarray(draw_phantom(rng, size=256)[0]) for _ in range(30)]


def test_changed_copies_are_found_and_different_phantoms_are_not(phantoms, tmp_path):
    for i, image in enumerate(phantoms):
        image.save(tmp_path / f"{i:02d}.png")
    small = phantoms[0].resize((image.width // 3, image.height // 3), Image.Resampling.BICUBIC)
    small.save(tmp_path / "small.jpg", quality=75)
    phantoms[1].save(tmp_path / "compressed.jpg", quality=30)
    phantoms[2].point([int(255 * (i / 255) ** 0.7) for i in range(256)]).save(tmp_path / "brighter.png")
    names = [f"{i:02d}.png" for i in range(30)] + ["small.jpg", "compressed.jpg", "brighter.png"]
    found = hash_images([str(tmp_path / name) for name in names])
    assert not found.unreadable
    pairs = {(names[pair.first], names[pair.second]) for pair in near_pairs(found.bits)}
    assert pairs == {("00.png", "small.jpg"), ("01.png", "compressed.jpg"), ("02.png", "brighter.png")}


def test_unreadable_files_are_listed_and_stop_nothing(phantoms, tmp_path):
    phantoms[0].save(tmp_path / "good.png")
    (tmp_path / "text.png").write_text("no image")
    done = []
    paths = [str(tmp_path / name) for name in ("text.png", "good.png", "gone.png")]
    found = hash_images(paths, on_file=lambda: done.append(1))
    assert set(found.unreadable) == {paths[0], paths[2]}
    assert found.bits.any(axis=1).tolist() == [False, True, False]
    assert len(done) == 3


def test_pairs_in_blocks_are_those_of_a_comparison_one_by_one(monkeypatch):
    monkeypatch.setattr(near_duplicates, "_BLOCK", 7)
    bits = np.random.default_rng(0).random((40, BITS)) < 0.5
    for row, other, changed in ((3, 30, 5), (8, 9, NEAR), (10, 25, NEAR + 1)):
        bits[other] = bits[row]
        bits[other, :changed] ^= True
    distances = (bits[:, None] != bits[None]).sum(axis=2)
    expected = sorted((int(distances[i, j]), i, j) for i, j in np.argwhere(distances <= NEAR).tolist() if i < j)
    assert near_pairs(bits) == [Pair(i, j, d) for d, i, j in expected]
    assert expected == [(5, 3, 30), (32, 8, 9)]


@pytest.mark.real
def test_no_two_images_of_nih_are_near_but_their_copies_are(nih_dir, tmp_path):
    paths = sorted(map(str, (nih_dir / "images").iterdir()))
    for i, path in enumerate(paths[:40]):
        image = Image.open(path).convert("L")
        image.resize((image.width // 3, image.height // 3)).save(tmp_path / f"{i}.jpg", quality=60)
    copies = [str(tmp_path / f"{i}.jpg") for i in range(40)]
    pairs = near_pairs(hash_images([*paths, *copies]).bits)
    assert {(pair.first, pair.second) for pair in pairs} == {(i, len(paths) + i) for i in range(40)}
