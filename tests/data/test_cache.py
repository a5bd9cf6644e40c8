"""Caches of images: the pixels of the decoder, found again after anything that can happen to a folder."""

import hashlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import filelock
import numpy as np
import pytest
from PIL import Image
from told import Told

from zoo.core.errors import CacheError
from zoo.core.progress import Silent
from zoo.data import cache, contents, shards
from zoo.data.cache import cache_images
from zoo.data.images import decode
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import make_phantoms

tf = pytest.importorskip("tensorflow", reason="TensorFlow, which writes the records, is not installed")

N, SIZE = 10, 16
SCRIPT = Path(__file__).parents[1] / "cache_run.py"


@pytest.fixture
def films(tmp_path) -> list[str]:
    """Of every kind: grey and colour, 8 and 16 bits, JPEG and PNG."""
    folder = tmp_path / "films"
    folder.mkdir()
    for i in range(N):
        pixels = np.random.default_rng(i).integers(0, 250, (40 + i, 60, 3), dtype=np.uint8)
        if i % 4 == 3:
            Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / f"{i}.png")
        else:
            Image.fromarray(pixels if i % 2 else pixels[..., 0]).save(folder / f"{i}.{'png' if i % 3 else 'jpg'}")
    return sorted(str(p) for p in folder.iterdir())


@pytest.fixture
def decoded(monkeypatch) -> Counter[str]:
    """How often each image was decoded on behalf of a cache."""
    counts = Counter()

    def counting(path, *args):
        counts[Path(path).name] += 1
        return read_image(path, *args)

    monkeypatch.setattr(cache, "read_image", counting)
    monkeypatch.setattr(cache, "_SAMPLE", 1)
    monkeypatch.setattr(cache, "SHARD_IMAGES", 3)
    return counts


def of(films: list[str], folder: Path, told: Silent | None = None, size: int = SIZE) -> cache.ImageCache:
    return cache_images(films, folder, size, root=Path(films[0]).parent, progress=told)


def rewrite(path: str, seed: int = 99) -> None:
    Image.fromarray(np.random.default_rng(seed).integers(0, 250, (30, 30), dtype=np.uint8)).save(path)


def assert_true(found: cache.ImageCache, films: list[str]) -> None:
    for path in films:
        np.testing.assert_array_equal(found.read(path, SIZE), read_image(path, SIZE))


def test_its_pixels_are_the_decoders(films, tmp_path, decoded):
    found = of(films, tmp_path / "cache")
    assert len(found) == N == sum(decoded.values())
    assert_true(found, films)
    assert sum(decoded.values()) == N
    assert found.unreadable == {}
    assert found.nbytes == N * (SIZE * SIZE + 16)
    assert found.source_nbytes == sum(Path(p).stat().st_size for p in films)
    with pytest.raises(ValueError, match="read-only"):
        found.read(films[0], SIZE)[0, 0] = 1


def test_what_it_does_not_hold_is_decoded(films, tmp_path):
    found = of(films[:-1], tmp_path / "cache")
    np.testing.assert_array_equal(found.read(films[-1], SIZE), read_image(films[-1], SIZE))
    np.testing.assert_array_equal(found.read(films[1], SIZE, 3), read_image(films[1], SIZE, 3))
    np.testing.assert_array_equal(found.read(films[0], 9), read_image(films[0], 9))


def test_any_reader_of_tfrecords_reads_a_shard(films, tmp_path, decoded):
    of(films, tmp_path / "cache")
    files = sorted(str(p) for p in (tmp_path / "cache").glob("*.tfrecord"))
    assert len(files) == 4
    records = tf.data.TFRecordDataset(files)  # checks each record's checksums
    pixels = np.stack([np.frombuffer(r.numpy(), np.uint8).reshape(SIZE, SIZE, 1) for r in records])
    np.testing.assert_array_equal(pixels, np.stack([read_image(p, SIZE) for p in films]))


@pytest.mark.parametrize(("most", "expected"), [(2.5, 5), (0.5, 10), (99, 4)])
def test_a_shard_has_a_limit_in_films_and_in_bytes(films, tmp_path, decoded, monkeypatch, most, expected):
    monkeypatch.setattr(cache, "SHARD_BYTES", int(most * shards.nbytes(1, SIZE)))
    assert_true(of(films, tmp_path / "cache"), films)
    assert len(list((tmp_path / "cache").glob("*.tfrecord"))) == expected


def test_a_second_call_decodes_a_sample_and_writes_nothing(films, tmp_path, decoded):
    of(films, tmp_path / "cache")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    decoded.clear()
    assert_true(of(films, tmp_path / "cache"), films)
    assert sum(decoded.values()) == 1
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == before


def test_unreadable_films_are_listed_with_their_reason_and_once(films, tmp_path, decoded):
    Path(films[2]).write_bytes(Path(films[2]).read_bytes()[:200])
    Path(films[5]).write_bytes(b"<html>not found")
    nowhere = str(Path(films[0]).parent / "nowhere.png")
    told = Told()
    for _ in range(2):
        found = of([*films, nowhere], tmp_path / "cache", told)
        assert list(found.unreadable) == [films[2], films[5], nowhere]
        assert "HTML page" in found.unreadable[films[5]]
        assert found.unreadable[nowhere] == "no such file"
        assert len(found) == N - 2
        assert_true(found, [f for f in films if f not in found.unreadable])
    assert decoded[Path(films[5]).name] == 1
    shutil.copy(films[0], nowhere)
    assert list(of([*films, nowhere], tmp_path / "cache").unreadable) == [films[2], films[5]]


def test_nothing_readable_is_a_cache_too(films, tmp_path):
    Path(films[0]).write_bytes(b"")
    for _ in range(2):
        assert len(of(films[:1], tmp_path / "cache")) == 0


def same_size(path: str, seed: int) -> None:
    """Other pixels in a file of the same size: a BMP is not packed."""
    pixels = np.random.default_rng(seed).integers(0, 250, (30, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(path, format="BMP")


def test_changed_images_alone_are_decoded_again(films, tmp_path, decoded):
    same_size(films[5], 1)
    size = Path(films[5]).stat().st_size
    before = of(films, tmp_path / "cache")
    decoded.clear()
    rewrite(films[4])
    same_size(films[5], 2)
    assert Path(films[5]).stat().st_size == size
    os.utime(films[7], ns=(0, 5))
    found = of(films, tmp_path / "cache")
    assert {name for name, n in decoded.items() if n} >= {Path(films[4]).name, Path(films[5]).name}
    assert sum(decoded.values()) == 2 + 1
    assert_true(found, films)
    assert {p for p in films if found.digests[p] != before.digests[p]} == {films[4], films[5]}
    assert found.digests == {p: hashlib.sha256(Path(p).read_bytes()).hexdigest()[:32] for p in films}


def test_data_that_were_attached_anew_are_not_read_again(films, tmp_path, decoded, monkeypatch):
    before = of(films, tmp_path / "cache")
    decoded.clear()
    for path in films:
        os.utime(path, ns=(0, 5))
    monkeypatch.setattr(contents, "REREAD", N - 1)
    monkeypatch.setattr(contents, "digest", None)
    found = of(films, tmp_path / "cache")
    assert sum(decoded.values()) == 1
    assert found.digests == before.digests


def test_a_cache_of_an_older_version_is_read(films, tmp_path, decoded):
    of(films, tmp_path / "cache")
    for listed in (tmp_path / "cache").glob("*.json"):
        facts = json.loads(listed.read_text())
        older = [[*film[:3], film[-1]] for film in facts["films"]]
        del facts["seal"]
        listed.write_text(json.dumps(facts | {"format": 1, "films": older}))
    decoded.clear()
    found = of(films, tmp_path / "cache")
    assert sum(decoded.values()) == 1
    assert_true(found, films)
    assert set(found.digests.values()) == {""}


def test_a_shard_of_which_nothing_is_current_is_removed(films, tmp_path, decoded):
    of(films, tmp_path / "cache")
    for path in films[:3]:
        rewrite(path)
    found = of(films, tmp_path / "cache")
    assert sorted(p.stem for p in (tmp_path / "cache").glob("*.json")) == [f"films-0000{i}" for i in (1, 2, 3, 4)]
    assert found.nbytes == shards.nbytes(N, SIZE)
    assert_true(found, films)


def test_films_of_other_calls_stay(films, tmp_path, decoded):
    of(films[:5], tmp_path / "cache")
    of(films[5:], tmp_path / "cache")
    decoded.clear()
    assert_true(of(films, tmp_path / "cache"), films)
    assert sum(decoded.values()) == 1


def test_data_and_cache_may_be_moved(films, tmp_path, decoded):
    of(films, tmp_path / "cache")
    moved = tmp_path / "elsewhere"
    shutil.move(Path(films[0]).parent, moved / "films")
    shutil.move(tmp_path / "cache", moved / "cache")
    decoded.clear()
    again = [str(moved / "films" / Path(p).name) for p in films]
    assert_true(of(again, moved / "cache"), again)
    assert sum(decoded.values()) == 1


@pytest.mark.parametrize("damage", ["a byte", "cut off", "no records", "no list"])
def test_what_was_damaged_is_made_anew(films, tmp_path, decoded, damage):
    folder = tmp_path / "cache"
    of(films, folder)
    decoded.clear()
    records, listed = folder / "films-00001.tfrecord", folder / "films-00001.json"
    if damage == "a byte":
        data = bytearray(records.read_bytes())
        data[300] ^= 1
        records.write_bytes(data)
    elif damage == "cut off":
        os.truncate(records, 100)
    else:
        (records if damage == "no records" else listed).unlink()
    told = Told()
    assert_true(of(films, folder, told), films)
    assert sum(decoded.values()) == 3 + 1
    assert told.messages == ([] if damage == "no list" else [f"{records}: damaged; its 3 images are decoded again"])


def test_other_pixels_of_the_decoder_make_it_anew(films, tmp_path, decoded, monkeypatch):
    of(films, tmp_path / "cache")
    monkeypatch.setattr(cache, "read_image", lambda path, size: 255 - read_image(path, size))
    told = Told()
    found = of(films, tmp_path / "cache", told)
    assert "other pixels; they are made anew" in told.messages[0]
    np.testing.assert_array_equal(found.read(films[3], SIZE), 255 - read_image(films[3], SIZE))


def test_another_version_of_the_decoder_makes_it_anew(films, tmp_path, decoded, monkeypatch):
    of(films, tmp_path / "cache")
    decoded.clear()
    for module in (cache, shards):
        monkeypatch.setattr(module, "DECODER", decode.DECODER + 1)
    told = Told()
    of(films, tmp_path / "cache", told)
    assert "made anew" in told.messages[0]
    assert sum(decoded.values()) == N


def test_what_it_cannot_use_is_refused_and_left_alone(films, tmp_path):
    folder = tmp_path / "cache"
    of(films, folder)
    with pytest.raises(CacheError, match="holds images of 16 px, not of 17 px: give another folder"):
        of(films, folder, size=17)
    with pytest.raises(CacheError, match=r"holds other files \(0.jpg\) and no cache"):
        of(films, Path(films[0]).parent)
    listed = folder / "films-00000.json"
    facts = json.loads(listed.read_text())
    listed.write_text(json.dumps(facts | {"format": 3}))
    with pytest.raises(CacheError, match=r"films-00000.json: made by a newer zoo \(format 3\)"):
        of(films, folder)
    for wrong in ("[]", "{}"):
        listed.write_text(wrong)
        with pytest.raises(CacheError, match=r"films-00000.json: not written by the zoo"):
            of(films, folder)
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match="cannot be used as a cache"):
        of(films, tmp_path / "file")
    with pytest.raises(ValueError, match="size must be 1 to 2048 pixels, got 0"):
        of(films, folder, size=0)
    assert (folder / "films-00000.tfrecord").stat().st_size == shards.nbytes(N, SIZE)


@pytest.mark.parametrize("damage", ["cut", "zeros", "flipped"])
def test_a_torn_index_costs_its_own_shard_alone(films, tmp_path, decoded, monkeypatch, damage):
    monkeypatch.setattr(cache, "SHARD_IMAGES", 4)
    folder, told = tmp_path / "cache", Told()
    whole = of(films, folder)
    expected = {path: whole.read(path, SIZE).tobytes() for path in films}
    index = folder / "films-00001.json"
    content = bytearray(index.read_bytes())
    content[content.index(b'"films"') + 30] ^= 1
    index.write_bytes({"cut": content[: len(content) // 2], "zeros": bytes(len(content)), "flipped": content}[damage])
    decoded.clear()
    again = of(films, folder, told)
    assert [message for message in told.messages if "cut off or altered" in message]
    assert sum(decoded.values()) == 4 + 1, "its images, and a sample of the others"
    assert {path: again.read(path, SIZE).tobytes() for path in films} == expected
    decoded.clear()
    of(films, folder)
    assert sum(decoded.values()) == 1


def test_room_is_looked_for_before_anything_is_decoded(films, tmp_path, decoded, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(10**6, 10**6 - 2700, 2700))
    with pytest.raises(CacheError, match=r"10 images of 16 px take 0.0 GB, and 0.0 GB are free: make room"):
        of(films, tmp_path / "cache")
    assert not decoded


def test_a_full_disk_is_told_and_what_was_finished_stays(films, tmp_path, decoded, monkeypatch):
    folder, limits = tmp_path / "cache", resource.getrlimit(resource.RLIMIT_FSIZE)
    of(films[:2], folder)
    monkeypatch.setattr(cache, "SHARD_IMAGES", 8)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        with pytest.raises(CacheError, match=r"cannot be used as a cache .*what was finished in it stays"):
            of(films, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    decoded.clear()
    assert_true(of(films, folder), films)
    assert sum(decoded.values()) == 8 + 1


def test_a_folder_that_cannot_be_written_is_read(films, tmp_path, decoded, monkeypatch):
    folder = tmp_path / "cache"
    of(films, folder)
    (folder / ".lock").unlink()
    monkeypatch.setattr(cache.os, "access", lambda path, mode: False)
    assert_true(of(films, folder), films)
    assert not (folder / ".lock").exists()


def test_calls_wait_for_each_other(films, tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    held, waits, told = threading.Event(), threading.Event(), Told()

    def other() -> None:
        with filelock.FileLock(folder / ".lock"):
            held.set()
            waits.wait(60)

    thread = threading.Thread(target=other)
    thread.start()
    held.wait(60)
    told.message = lambda text: (Told.message(told, text), waits.set())
    assert_true(of(films, folder, told), films)
    thread.join()
    assert told.messages == [f"{folder}: another process is filling this cache; waiting for it"]


def test_no_more_than_two_shards_are_in_memory(films, tmp_path, decoded, monkeypatch):
    """What was decoded and not yet written, when a slow disk takes each record."""
    waiting, most = set(), 0
    decode_one, write_records = cache._decode, shards._write_records

    def decoding(path, size):
        waiting.add(path)
        return decode_one(path, size)

    def writing(path, given):
        def one_by_one():
            nonlocal most
            for film, pixels in given:
                most = max(most, len(waiting))
                waiting.discard(str(Path(films[0]).parent / film.name))
                yield film, pixels

        return write_records(path, one_by_one())

    monkeypatch.setattr(cache, "_decode", decoding)
    monkeypatch.setattr(shards, "_write_records", writing)
    of(films, tmp_path / "cache")
    assert 0 < most <= 3 + 1


def test_progress_counts_every_film(films, tmp_path, decoded):
    told = Told()
    of(films[:4], tmp_path / "cache")
    of(films, tmp_path / "cache", told)
    assert told.tasks == [("checking the cache", 2), ("decoding 6 of 10 images to 16 px", 6)]


def test_killed_at_any_instant_it_goes_on(tmp_path, decoded):
    data, folder = tmp_path / "data", tmp_path / "cache"
    data.mkdir()
    for i in range(8):
        rewrite(str(data / f"{i}.png"), seed=i)

    for point in ("records:2", "json:1"):  # in the second shard; then, of the next one, between its two files
        command = [sys.executable, str(SCRIPT), str(data), str(folder), point]
        environment = os.environ | {"PYTHONPATH": str(SCRIPT.parents[1])}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
        assert [p.name for p in folder.glob("films-*.json")] == ["films-00000.json"]
    assert (folder / "films-00001.tfrecord").is_file()
    paths = sorted(str(p) for p in data.iterdir())
    assert_true(cache_images(paths, folder, SIZE, root=data), paths)
    assert sum(decoded.values()) == 8 - 3 + 1
    names = {p.name for p in folder.iterdir()} - {".lock"}
    assert names == {f"films-0000{i}.{end}" for i in range(3) for end in ("json", "tfrecord")}


def full_decode(path: Path, size: int) -> np.ndarray:
    """All pixels first, then the same filter."""
    return np.asarray(Image.open(path).convert("L").resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))


def mean_difference(paths: list[Path], size: int) -> float:
    """Of decodes that are scaled in the DCT from full ones, the worst image's mean, in grey levels."""
    pairs = ((read_image(p, size)[..., 0].astype(int), full_decode(p, size)) for p in paths)
    return max(float(np.abs(ours - theirs).mean()) for ours, theirs in pairs)


def test_scaling_in_the_dct_changes_a_phantom_by_less_than_a_grey_level(tmp_path):
    make_phantoms(tmp_path, 2, size=2048, seed=5, n_test=0, broken=0)
    paths = sorted((tmp_path / "train2").iterdir())
    assert 0 < mean_difference(paths, 224) < 0.5


def test_scaling_in_the_dct_changes_a_real_film_by_less_than_a_grey_level(nih_dir):
    films = sorted((nih_dir / "images").iterdir())[::4]  # of 512 px: too near to 224 to be scaled
    assert mean_difference(films, 224) == 0
    assert 0 < mean_difference(films, 112) < 1.0
