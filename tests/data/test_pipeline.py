"""Batches: order and pixels are functions of (seed, epoch, index) and of nothing else."""

import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("tensorflow", reason="TensorFlow, which makes the batches, is not installed")

import keras

from zoo.core.errors import ImageError
from zoo.data import cache, epochs, pipeline
from zoo.data.augment import DEFAULT, NONE, ORIGINAL, AugmentSpec, augment
from zoo.data.cache import cache_images
from zoo.data.images.reading import read_image

N, SIZE = 22, 16
KNOBS = {"image_size": SIZE, "batch_size": 4, "seed": 7, "epoch": 0, "augment": DEFAULT}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("films")
    for i in range(N):
        Image.fromarray(np.random.default_rng(i).integers(0, 250, (20, 18), dtype=np.uint8)).save(folder / f"{i}.png")
    return [str(folder / f"{i}.png") for i in range(N)]


@pytest.fixture
def labels() -> np.ndarray:
    """The first column is the row, by which a test knows each image again."""
    labels = np.zeros((N, 2), np.float32)
    labels[:, 0] = np.arange(N)
    labels[3, 1] = np.nan
    return labels


def collect(dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(x.numpy(), y.numpy()) for x, y in dataset]


def assert_same(first, second) -> None:
    assert len(first) == len(second) > 0
    for (x, y), (x2, y2) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def test_each_image_comes_once_an_epoch_with_its_own_labels(files, labels):
    batches = collect(pipeline.training_batches(files, labels, **KNOBS | {"augment": NONE}, drop_remainder=False))
    assert [len(x) for x, _ in batches] == [4, 4, 4, 4, 4, 2]
    rows = np.concatenate([y[:, 0] for _, y in batches]).astype(int)
    assert sorted(rows) == list(range(N))
    assert list(rows) != list(range(N))
    for row, pixels in zip(rows, np.concatenate([x for x, _ in batches]), strict=True):
        np.testing.assert_array_equal(pixels, read_image(files[row], SIZE))


def test_pixels_are_a_function_of_seed_epoch_and_row(files, labels):
    targeted = np.arange(N) % 2 == 0
    spec = AugmentSpec(rotation=5.0, targeted_noise=9.0, targeted_noise_probability=1.0)
    for x, y in collect(pipeline.training_batches(files, labels, **KNOBS | {"augment": spec}, targeted=targeted)):
        for pixels, row in zip(x, y[:, 0].astype(int), strict=True):
            draws = epochs.epoch_draws(N, 7, 0)[[row]]
            expected = augment(read_image(files[row], SIZE)[None], draws, spec, targeted[[row]])
            np.testing.assert_array_equal(pixels, expected[0])


def test_workers_change_nothing(files, labels):
    one, many = (collect(pipeline.training_batches(files, labels, **KNOBS, workers=w)) for w in (1, 5))
    assert_same(one, many)


@pytest.fixture(scope="module")
def cached(files, tmp_path_factory):
    return cache_images(files, tmp_path_factory.mktemp("cache"), SIZE, root=Path(files[0]).parent)


@pytest.mark.parametrize("changes", [{}, {"batch_size": 9}, {"workers": 5}, {"batch_size": 22, "workers": 1}])
@pytest.mark.parametrize("spec", [DEFAULT, ORIGINAL], ids=["default", "original"])
def test_neither_a_cache_nor_batch_size_nor_workers_change_a_pixel(files, labels, cached, monkeypatch, spec, changes):
    targeted = np.arange(N) % 2 == 0
    knobs = KNOBS | {"augment": spec, "targeted": targeted, "drop_remainder": False}
    expected = collect(pipeline.training_batches(files, labels, **knobs))
    monkeypatch.setattr(cache, "read_image", lambda *_: pytest.fail("decoded"))
    found = collect(pipeline.training_batches(files, labels, **knobs | changes, read=cached.read))
    assert_same(*([tuple(map(np.concatenate, zip(*both, strict=True)))] for both in (expected, found)))


@pytest.mark.parametrize("start", [1, 4])
def test_a_resumed_epoch_sees_each_image_once_whatever_it_reads_from(files, labels, cached, start):
    before = collect(pipeline.training_batches(files, labels, **KNOBS))[:start]
    after = collect(pipeline.training_batches(files, labels, **KNOBS, start_step=start, read=cached.read))
    rows = [int(row) for _, y in before + after for row in y[:, 0]]
    assert len(rows) == len(set(rows)) == N // 4 * 4
    assert rows == list(epochs.epoch_order(N, 7, 0))[: len(rows)]


def test_evaluation_reads_from_a_cache(files, labels, cached, monkeypatch):
    expected = collect(pipeline.evaluation_batches(files, labels, image_size=SIZE, batch_size=5))
    monkeypatch.setattr(cache, "read_image", lambda *_: pytest.fail("decoded"))
    knobs = {"image_size": SIZE, "batch_size": 5, "read": cached.read}
    assert_same(expected, collect(pipeline.evaluation_batches(files, labels, **knobs)))


@pytest.mark.parametrize("start", [1, 4])
def test_a_resumed_epoch_goes_on_with_the_very_batches(files, labels, start):
    whole = collect(pipeline.training_batches(files, labels, **KNOBS))
    rest = collect(pipeline.training_batches(files, labels, **KNOBS, start_step=start))
    assert_same(whole[start:], rest)
    assert list(pipeline.training_batches(files, labels, **KNOBS, start_step=5)) == []


def test_another_epoch_or_seed_is_another_order_and_other_pixels(files, labels):
    base, epoch, seed = (
        collect(pipeline.training_batches(files, labels, **KNOBS | c)) for c in ({}, {"epoch": 1}, {"seed": 8})
    )
    for other in (epoch, seed):
        assert any((y != y2).any() for (_, y), (_, y2) in zip(base, other, strict=True))
    orders = {tuple(epochs.epoch_order(N, s, e)) for s in range(4) for e in range(4)}
    assert len(orders) == 16
    assert epochs.epoch_order(N, 7, 0).dtype == np.int64


def test_order_and_augmentation_draw_from_different_streams():
    order = np.random.Generator(np.random.PCG64([7, 0, 2])).permutation(N)
    assert list(epochs.epoch_order(N, 7, 0)) != list(order)


def test_an_images_draws_do_not_depend_on_how_many_there_are():
    np.testing.assert_array_equal(epochs.epoch_draws(1000, 7, 3)[:5], epochs.epoch_draws(5, 7, 3))
    streams = {epochs.epoch_draws(5, s, e).tobytes() for s in range(3) for e in range(3)}
    assert len(streams) == 9


def test_evaluation_keeps_the_order_and_the_last_batch(files, labels):
    batches = collect(pipeline.evaluation_batches(files, labels, image_size=SIZE, batch_size=5))
    np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), labels)
    expected = np.stack([read_image(f, SIZE) for f in files])
    np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), expected)
    alone = [x.numpy() for x in pipeline.evaluation_batches(files, None, image_size=SIZE, batch_size=5)]
    np.testing.assert_array_equal(np.concatenate(alone), expected)


def test_shapes_are_static_and_lengths_known(files, labels):
    dataset = pipeline.training_batches(files, labels, **KNOBS, channels=3)
    assert [tuple(s.shape) for s in dataset.element_spec] == [(4, SIZE, SIZE, 3), (4, 2)]
    assert [s.dtype.name for s in dataset.element_spec] == ["uint8", "float32"]
    assert len(dataset) == pipeline.steps_per_epoch(N, 4) == 5
    assert len(pipeline.evaluation_batches(files, None, image_size=SIZE, batch_size=4)) == 6
    assert pipeline.steps_per_epoch(N, 4, drop_remainder=False) == 6


def small_model() -> keras.Model:
    model = keras.Sequential([keras.layers.Input((SIZE, SIZE, 1)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    return model


def test_no_tuner_holds_up_the_end_of_an_epoch(files, labels):
    given = {key: KNOBS[key] for key in ("image_size", "batch_size")}
    for batches in (
        pipeline.training_batches(files, labels, **KNOBS),
        pipeline.evaluation_batches(files, labels, **given),
    ):
        assert batches.options().autotune.enabled is False


def test_keras_trains_and_predicts_on_them(files, labels):
    model = small_model()
    model.fit(pipeline.training_batches(files, np.zeros_like(labels), **KNOBS), shuffle=False, verbose=0)
    batches = pipeline.evaluation_batches(files, None, image_size=SIZE, batch_size=4)
    assert model.predict(batches, verbose=0).shape == (N, 2)


@pytest.mark.parametrize(
    "consume",
    [collect, lambda batches: small_model().fit(batches, shuffle=False, verbose=0)],
    ids=["loop", "fit"],
)
def test_an_unreadable_file_surfaces_as_an_image_error_with_its_name(files, labels, tmp_path, consume):
    broken = tmp_path / "broken film.png"
    broken.write_bytes(b"<html>not found")
    batches = pipeline.training_batches([*files[:-1], broken], labels, **KNOBS, drop_remainder=False)
    with pytest.raises(ImageError) as caught, pipeline.image_errors():
        consume(batches)
    assert str(caught.value) == f"{broken}: not an image: an HTML page, perhaps an error page saved as the file"


def test_other_errors_pass_through_unchanged():
    with pytest.raises(KeyError), pipeline.image_errors():
        raise KeyError("of the caller")


def test_memory_holds_some_batches_and_not_the_data_set(labels):
    """Counts the decoded images that are alive, and what an epoch leaves behind."""
    alive, peak, lock = [0], [0], threading.RLock()

    def gone() -> None:
        with lock:
            alive[0] -= 1

    def read(path: str, size: int, channels: int) -> np.ndarray:
        image = np.random.default_rng(int(path)).integers(0, 256, (size, size, channels), dtype=np.uint8)
        with lock:
            alive[0] += 1
            peak[0] = max(peak[0], alive[0])
        weakref.finalize(image, gone)
        return image

    paths = [str(i) for i in range(400)]
    many = np.zeros((400, 2), np.float32)
    for epoch in range(2):
        for _ in pipeline.training_batches(paths, many, **KNOBS | {"epoch": epoch, "augment": NONE}, read=read):
            assert alive[0] <= 4 * 4
    assert 0 < peak[0] <= 4 * 4
    assert alive[0] <= 4


def test_epochs_leave_no_threads_behind(files, labels):
    def decoders() -> int:
        return sum(t.name.startswith("zoo-decode") for t in threading.enumerate())

    collect(pipeline.training_batches(files, labels, **KNOBS, workers=3))
    before = decoders()
    for epoch in range(4):
        collect(pipeline.training_batches(files, labels, **KNOBS | {"epoch": epoch}, workers=3))
    assert decoders() == before


@pytest.mark.parametrize("name", ["randaugment", "mixup"])
def test_kerascv_runs_inside_the_pipeline(files, labels, name):
    pytest.importorskip("keras_cv", reason="KerasCV is not installed")
    spec = AugmentSpec(kerascv=name, kerascv_strength=0.4)
    plain = collect(pipeline.training_batches(files, labels, **KNOBS | {"augment": NONE}))
    batches = collect(pipeline.training_batches(files, labels, **KNOBS | {"augment": spec}))
    assert any((x != x2).any() for (x, _), (x2, _) in zip(batches, plain, strict=True))
    assert all(x.dtype == np.uint8 and y.dtype == np.float32 for x, y in batches)
    if name == "randaugment":
        np.testing.assert_array_equal(batches[0][1], plain[0][1])


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 99}, "one batch of 99"),
        ({"start_step": 6}, "start_step"),
        ({"targeted": np.zeros(3, bool)}, "targeted"),
    ],
)
def test_wrong_arguments_are_told(files, labels, change, message):
    with pytest.raises(ValueError, match=message):
        pipeline.training_batches(files, labels, **KNOBS | change)
    with pytest.raises(ValueError, match="labels must be"):
        pipeline.training_batches(files, labels[:-1], **KNOBS)


def test_a_pandas_column_is_read_by_position(files, labels):
    pd = pytest.importorskip("pandas")
    part = pd.Series(files)[10:]
    batches = pipeline.evaluation_batches(part, labels[10:], image_size=SIZE, batch_size=12)
    np.testing.assert_array_equal(next(iter(batches))[0][0], read_image(files[10], SIZE))


@pytest.mark.parametrize("batch_size", [4, 3])
def test_mixup_mixes_neighbours_of_the_order_whatever_the_batch_size(batch_size):
    """x = share * x_i + (1 - share) * x_j, and the same for the labels (Zhang et al. 2018, equation 1)."""
    n, values = 12, np.arange(12) * 20

    def read(path, size, channels):
        return np.full((size, size, channels), values[int(path)], np.uint8)

    known = np.stack([np.arange(n) % 2, np.where(np.arange(n) == 5, np.nan, 1)], axis=1)
    batches = pipeline.training_batches(
        [str(i) for i in range(n)], known, image_size=2, batch_size=batch_size, seed=3, epoch=1,
        augment=AugmentSpec(mixup=0.4), read=read,
    )  # fmt: skip
    images, labels = (np.concatenate(part) for part in zip(*batches.as_numpy_iterator(), strict=True))
    order = epochs.epoch_order(n, 3, 1)
    partners, shares = epochs.epoch_pairs(n, 3, 1, 0.4)
    assert [partners[order[i]] for i in range(n)] == [order[i ^ 1] for i in range(n)]
    assert epochs.epoch_pairs(n + 1, 3, 1, 0.4)[1][:n].tolist() == shares.tolist()
    for place, row in enumerate(order):
        share, other = shares[row], partners[row]
        assert abs(float(images[place].mean()) - (share * values[row] + (1 - share) * values[other])) <= 0.51
        assert labels[place, 0] == pytest.approx(share * known[row, 0] + (1 - share) * known[other, 0], abs=1e-6)
        assert np.isnan(labels[place, 1]) == (5 in (row, other))


def test_mixup_shares_are_drawn_from_the_beta_distribution():
    shares = epochs.epoch_pairs(20001, 0, 0, 0.4)[1]
    assert abs(shares.mean() - 0.5) < 0.01
    assert abs(shares.var() - 0.25 / 1.8) < 0.003  # 1 / (4 (2 alpha + 1))
    partners = epochs.epoch_pairs(20001, 0, 0, 0.4)[0]
    assert np.sum(partners == np.arange(20001)) == 1  # the last of an odd number


@pytest.mark.parametrize("spec", [DEFAULT, AugmentSpec(mixup=0.4)])
def test_processes_that_share_a_batch_have_its_rows_between_them(files, labels, spec):
    options = KNOBS | {"augment": spec}
    whole = collect(pipeline.training_batches(files, labels, **options))
    parts = [collect(pipeline.training_batches(files, labels, **options, share=(i, 2))) for i in (0, 1)]
    assert_same(
        [tuple(np.concatenate(pair) for pair in zip(*both, strict=True)) for both in zip(*parts, strict=True)], whole
    )
    images = [x.numpy() for x in pipeline.evaluation_batches(files[:8], None, image_size=SIZE, batch_size=4)]
    second = pipeline.evaluation_batches(files[:8], None, image_size=SIZE, batch_size=4, share=(1, 2))
    for all_rows, rows in zip(images, second, strict=True):
        np.testing.assert_array_equal(rows.numpy(), all_rows[2:])
