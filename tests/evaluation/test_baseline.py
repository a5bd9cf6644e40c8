import numpy as np
import pytest

from zoo.evaluation import metrics
from zoo.evaluation.baseline import fit_pixel_baseline, shrink


def _films(n: int, seed: int, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, 2)) < 0.4).astype(np.float32)
    films = rng.integers(80, 140, size=(n, size, size, 1), dtype=np.uint8)
    films[labels[:, 0] == 1, : size // 3] += 12
    labels[rng.random((n, 2)) < 0.1] = np.nan
    return films, labels


def test_learns_what_a_few_pixels_tell_and_nothing_else():
    pytest.importorskip("sklearn")
    fitted = fit_pixel_baseline(*_films(160, 0))
    films, labels = _films(120, 1)
    logits = fitted.logits(films)
    assert logits.dtype == np.float32
    auc = metrics.roc_auc(labels, logits)
    assert auc[0] > 0.95
    assert 0.3 < auc[1] < 0.7


def test_a_finding_of_one_class_gets_a_constant():
    pytest.importorskip("sklearn")
    films, labels = _films(40, 0)
    labels[:, 0], labels[:, 1] = 0, np.nan
    logits = fit_pixel_baseline(films, labels).logits(films)
    assert (logits == logits[0]).all()
    assert logits[0] == pytest.approx([np.log(0.5 / 40.5), 0.0])


def test_shrinks_by_area_any_size_and_colour():
    ramp = np.repeat(np.repeat(np.arange(32, dtype=np.uint8)[:, None] * 4, 32, axis=1), 2, axis=0)[None, :, :, None]
    assert shrink(ramp)[0, ::32] == pytest.approx(np.arange(32) * 4)
    assert np.array_equal(shrink(np.repeat(ramp, 3, axis=3)), shrink(ramp))
    assert shrink(np.zeros((2, 50, 37, 1), np.uint8)).shape == (2, 1024)


def test_bad_input():
    pytest.importorskip("sklearn")
    with pytest.raises(ValueError, match="must be uint8"):
        shrink(np.zeros((2, 8, 8, 1), np.float32))
    with pytest.raises(ValueError, match="2 images and 3 rows"):
        fit_pixel_baseline(np.zeros((2, 8, 8, 1), np.uint8), np.zeros((3, 1)))
