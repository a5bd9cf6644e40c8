"""KerasCV's options on whole batches, on either backend."""

import numpy as np
import pytest

pytest.importorskip("keras_cv", reason="KerasCV is not installed")

from zoo.data.augment_kerascv import batch_augmentation


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 16, 16, 1), dtype=np.uint8)
    labels = rng.integers(0, 2, (6, 3)).astype(np.float32)
    return images, labels


@pytest.mark.parametrize("channels", [1, 3])
def test_randaugment_changes_pixels_and_leaves_labels(batch, channels):
    images, labels = np.repeat(batch[0], channels, axis=-1), batch[1]
    changed, same = batch_augmentation("randaugment", 0.5, (1, 0))(images, labels)
    assert changed.shape == images.shape
    assert changed.dtype == np.uint8
    assert (changed != images).any()
    np.testing.assert_array_equal(same, labels)


def test_mixup_mixes_labels_in_the_proportion_of_the_pixels(batch):
    _, labels = batch
    # Each image is its own label times 200, so that pixels tell the proportion.
    images = np.broadcast_to(200 * labels[:, None, None, :1], (6, 16, 16, 1)).astype(np.uint8)
    mixed, shares = batch_augmentation("mixup", 5.0, (1, 0))(images, labels)
    assert mixed.dtype == np.uint8
    assert shares.dtype == np.float32
    assert ((shares > 0) & (shares < 1)).any()
    np.testing.assert_allclose(mixed[:, 0, 0, 0], 200 * shares[:, 0], atol=0.51)


def test_mixup_of_an_unknown_label_is_unknown(batch):
    images, labels = batch
    labels[:, 1] = np.nan
    labels[2, 0] = np.nan
    _, shares = batch_augmentation("mixup", 0.2, (1, 0))(images, labels)
    assert np.isnan(shares[:, 1]).all()
    assert np.isnan(shares[2, 0])
    assert not np.isnan(shares[:, 2]).any()
