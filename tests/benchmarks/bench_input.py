"""Images a second that reach a model in training: from a cache, from the files, and in what users write themselves.

Images are grey JPEGs of 2048 px; each row shuffles, augments and batches them at 224 px. One epoch is one call.
"""

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmarks.peers import import_torchvision
from PIL import Image

from zoo.data.augment import DEFAULT, ORIGINAL, AugmentSpec, augment
from zoo.data.images.reading import read_image

FILM_SIZE, SIZE, BATCH, SEED, EPOCH = 2048, 224, 64, 0, 0

#: Different images; names of each, which are so many records of a cache; images an epoch from files and from a cache.
FILMS, NAMES, FEW, MANY = 48, 32, 192, 1536

DEFAULT_SECTION = "Training input: 2048 px JPEGs at 224 px, batches of 64, the default augmentation"
RECIPE_SECTION = "Training input: 2048 px JPEGs at 224 px, batches of 64, the augmentation of the recipe `xrayslam`"
DECODING_SECTION = "Decoding 2048 px JPEGs to 224 px"


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[str]:
    """Smooth noise with a grain: it compresses, and so decodes, about as X-rays do."""
    folder, rng = tmp_path_factory.mktemp("films"), np.random.default_rng(0)
    for i in range(FILMS):
        coarse = Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8))
        pixels = np.asarray(coarse.resize((FILM_SIZE, FILM_SIZE), Image.Resampling.BICUBIC), np.float32) / 1.1
        grain = rng.normal(0, 1.5, (FILM_SIZE, FILM_SIZE)).astype(np.float32)
        Image.fromarray(np.clip(pixels + grain, 0, 255).astype(np.uint8)).save(folder / f"{i}-0.jpg", quality=85)
        for name in range(1, NAMES):
            os.link(folder / f"{i}-0.jpg", folder / f"{i}-{name}.jpg")
    return [str(folder / f"{i}-{name}.jpg") for name in range(NAMES) for i in range(FILMS)]


@pytest.fixture(scope="module")
def cached(paths, tmp_path_factory):
    from zoo.data.cache import cache_images

    return cache_images(paths, tmp_path_factory.mktemp("cache"), SIZE, root=Path(paths[0]).parent)


# The first, before TensorFlow has started threads: PyTorch's workers are forks of this process.
def test_torch_dataloader(compare, paths, threads):
    """What PyTorch's tutorials do."""
    import_torchvision()
    from torch.utils.data import DataLoader
    from torchvision.transforms import v2

    change = v2.Compose(
        [
            v2.Resize((SIZE, SIZE)),
            v2.RandomAffine(7, (0.05, 0.05), (0.92, 1.08), interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(brightness=0.1, contrast=0.15),
            v2.PILToTensor(),
        ]
    )
    films = Films(paths[:FEW], change)
    loader = DataLoader(films, BATCH, shuffle=True, drop_last=True, num_workers=threads, persistent_workers=True)
    work = partial(last, loader)
    name = f"PyTorch: Pillow, torchvision, {threads} processes"
    compare(DEFAULT_SECTION, name, work, items=FEW, unit="images/s", peer=True, rounds=3, check=whole_batch)


class Films:
    """A data set as PyTorch takes it."""

    def __init__(self, paths: list[str], change: Callable) -> None:
        self.paths, self.change = paths, change

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int):
        with Image.open(self.paths[index]) as image:
            return self.change(image.convert("L")), np.zeros(14, np.float32)


@pytest.mark.parametrize("form", ["decoded at each epoch", "cache() in memory"])
def test_tf_data(compare, paths, form):
    """What TensorFlow's and Keras' tutorials do."""
    import keras
    import tensorflow as tf

    layers = keras.Sequential(
        [
            keras.layers.RandomRotation(7 / 360, fill_mode="constant"),
            keras.layers.RandomTranslation(0.05, 0.05, fill_mode="constant"),
            keras.layers.RandomZoom(0.08, fill_mode="constant"),
            keras.layers.RandomBrightness(0.1, value_range=(0, 255)),
            keras.layers.RandomContrast(0.15, value_range=(0, 255)),
        ]
    )

    def decode(path, labels):
        return tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=1), (SIZE, SIZE)), labels

    n = FEW if form.startswith("decoded") else MANY
    films = tf.data.Dataset.from_tensor_slices((paths[:n], np.zeros((n, 14), np.float32)))
    films = films.map(decode, tf.data.AUTOTUNE)
    films = films if n == FEW else films.cache()
    batches = films.shuffle(n).batch(BATCH, drop_remainder=True)
    batches = batches.map(lambda x, y: (layers(x, training=True), y), tf.data.AUTOTUNE).prefetch(2)
    work = partial(last, batches)
    name = f"tf.data: tf.io, {form}, keras.layers"
    compare(DEFAULT_SECTION, name, work, items=n, unit="images/s", peer=True, rounds=3, check=whole_batch)


@pytest.mark.parametrize(("section", "spec"), [(DEFAULT_SECTION, DEFAULT), (RECIPE_SECTION, ORIGINAL)])
def test_from_files(compare, paths, section, spec):
    """What a run does that has no cache."""
    work = partial(epoch, paths[:FEW], spec, read_image)
    check = partial(as_defined, paths[:FEW], spec)
    compare(section, "zoo: from the files", work, items=FEW, unit="images/s", peer=True, rounds=3, check=check)


@pytest.mark.parametrize(("section", "spec"), [(DEFAULT_SECTION, DEFAULT), (RECIPE_SECTION, ORIGINAL)])
def test_from_the_cache(compare, paths, cached, section, spec):
    work = partial(epoch, paths, spec, cached.read)
    compare(section, "zoo: from a cache", work, items=MANY, unit="images/s", check=partial(as_defined, paths, spec))


def test_filling_a_cache(compare, describe, paths, tmp_path):
    from zoo.data.cache import cache_images

    folders, few = (tmp_path / str(i) for i in itertools.count()), paths[:FEW]
    work = lambda: cache_images(few, next(folders), SIZE, root=Path(few[0]).parent)  # noqa: E731
    films = compare(
        DECODING_SECTION, "zoo: into a new cache", work, items=FEW, unit="images/s", rounds=3, check=complete
    )
    describe(
        DECODING_SECTION,
        f"The cache takes {films.nbytes / FEW / 1e3:.1f} KB an image, the files {mean_kb(few):.0f} KB.",
    )


def test_tf_io(compare, paths):
    """TensorFlow's decoder, without keeping anything."""
    import tensorflow as tf

    def decode(path):
        return tf.image.resize(tf.io.decode_jpeg(tf.io.read_file(path), channels=1), (SIZE, SIZE))

    films = tf.data.Dataset.from_tensor_slices(paths[:FEW]).map(decode, tf.data.AUTOTUNE)
    work = partial(last, films)
    compare(DECODING_SECTION, "tf.io, all pixels", work, items=FEW, unit="images/s", peer=True, rounds=3)


#: Iterators that are done. One of tf.data's with a tuner, the default, takes up to a minute to go: nobody's input work.
DONE: list[Iterator] = []


def last(batches: Iterable) -> object:
    """Goes through all of them."""
    DONE.append(iter(batches))
    return deque(DONE[-1], maxlen=1).pop()


def epoch(paths: list[str], spec: AugmentSpec, read: Callable) -> SimpleNamespace:
    """All batches of an epoch; keeps the first."""
    from zoo.data.pipeline import training_batches

    labels, targeted = labels_of(len(paths))
    knobs = {"image_size": SIZE, "batch_size": BATCH, "seed": SEED, "epoch": EPOCH, "read": read}
    batches = iter(training_batches(paths, labels, augment=spec, targeted=targeted, **knobs))
    first = next(batches)
    return SimpleNamespace(first=first[0].numpy(), steps=1 + sum(1 for _ in batches))


@cache
def labels_of(n: int) -> tuple[np.ndarray, np.ndarray]:
    """No labels, and every third image targeted."""
    return np.zeros((n, 14), np.float32), np.arange(n) % 3 == 0


def as_defined(paths: list[str], spec: AugmentSpec, found: SimpleNamespace) -> None:
    """the first batch is that of decoder, order and draws"""
    from zoo.data.epochs import epoch_draws, epoch_order

    rows = epoch_order(len(paths), SEED, EPOCH)[:BATCH]
    images = np.stack([read_image(paths[row], SIZE) for row in rows])
    draws = epoch_draws(len(paths), SEED, EPOCH)[rows]
    np.testing.assert_array_equal(found.first, augment(images, draws, spec, labels_of(len(paths))[1][rows]))
    assert found.steps == len(paths) // BATCH


def whole_batch(found: tuple) -> None:
    """a whole batch of 224 px"""
    assert np.asarray(found[0]).size == BATCH * SIZE * SIZE


def complete(films) -> None:
    """all images are in it"""
    assert len(films) == FEW


def mean_kb(paths: list[str]) -> float:
    return float(np.mean([Path(path).stat().st_size for path in paths])) / 1e3
