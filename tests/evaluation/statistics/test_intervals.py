import numpy as np
import pytest

from zoo.evaluation import metrics
from zoo.evaluation.result import Estimate, to_json
from zoo.evaluation.statistics.delong import auc_spread, delong, delong_difference
from zoo.evaluation.statistics.intervals import Interval, bootstrap
from zoo.evaluation.statistics.proportions import proportion, share_spread, shares, wilson
from zoo.evaluation.statistics.spreads import Spread, combined


def percentiles(samples):
    return np.nanquantile(samples, (0.025, 0.975), axis=0)


def _auc_samples(scores, **options):
    return bootstrap(lambda w: {"auc": metrics.roc_auc(scores.labels, scores.logits, w)}, scores.clusters, **options)


def test_resamples_draw_whole_patients_as_often_as_there_are(make_scores):
    clusters = make_scores(90).clusters
    samples = bootstrap(lambda w: {"weights": w.T.copy()}, clusters, resamples=150)["weights"]
    assert samples.shape == (150, 90)
    for patient in np.unique(clusters):
        own = samples[:, clusters == patient]
        assert (own == own[:, :1]).all()
    first = np.unique(clusters, return_index=True)[1]
    assert (samples[:, first].sum(axis=1) == len(first)).all()


def test_the_seed_decides(make_scores):
    scores = make_scores(100)
    a, b, c = (_auc_samples(scores, resamples=70, seed=seed)["auc"] for seed in (1, 1, 2))
    assert np.array_equal(a, b, equal_nan=True)
    assert not np.array_equal(a, c, equal_nan=True)


def test_bootstrap_and_delong_agree(make_scores):
    scores = make_scores(1500)
    low, high = percentiles(_auc_samples(scores, resamples=1000)["auc"])
    for j, interval in enumerate(delong(scores.labels, scores.logits, scores.clusters)):
        assert interval.value == pytest.approx(metrics.roc_auc(scores.labels, scores.logits)[j])
        assert low[j] == pytest.approx(interval.low, abs=0.012)
        assert high[j] == pytest.approx(interval.high, abs=0.012)


def test_delong_by_its_definition():
    rng = np.random.default_rng(0)
    labels = np.repeat([1.0, 0.0], [12, 30])
    scores = np.round(rng.normal(size=42) + labels, 1)
    wins = np.sign(scores[:12, None] - scores[None, 12:]) / 2 + 0.5
    variance = wins.mean(axis=1).var(ddof=1) / 12 + wins.mean(axis=0).var(ddof=1) / 30
    interval = delong(labels[:, None], scores[:, None])[0]
    assert interval.value == pytest.approx(wins.mean())
    assert interval.low < interval.value - 1.96 * np.sqrt(variance)  # skewed: further below than above
    assert interval.high < interval.value + 1.96 * np.sqrt(variance)
    assert interval.high - interval.low == pytest.approx(2 * 2.1 * np.sqrt(variance), rel=0.1)
    assert (interval.n, interval.positives) == (42, 12)


def test_repeating_every_film_narrows_only_the_interval_that_takes_films_for_patients(make_scores):
    scores = make_scores(300, unknown=0.0)
    once = delong(scores.labels, scores.logits)
    labels, logits = np.tile(scores.labels, (4, 1)), np.tile(scores.logits, (4, 1))
    naive, clustered = delong(labels, logits), delong(labels, logits, np.tile(np.arange(300), 4))
    for single, repeated, honest in zip(once, naive, clustered, strict=True):
        width = single.high - single.low
        assert repeated.high - repeated.low < 0.6 * width
        assert honest.high - honest.low == pytest.approx(width, rel=0.02)


def test_paired_difference_is_narrower_than_two_intervals(make_scores):
    scores = make_scores(800)
    other = scores.logits + np.random.default_rng(1).normal(size=scores.logits.shape)
    value = metrics.roc_auc(scores.labels, scores.logits) - metrics.roc_auc(scores.labels, other)

    def both(weights):
        pair = (metrics.roc_auc(scores.labels, values, weights) for values in (scores.logits, other))
        return dict(zip("ab", pair, strict=True))

    samples = bootstrap(both, scores.clusters, resamples=600)
    low, high = percentiles(samples["a"] - samples["b"])
    alone = np.diff(percentiles(samples["a"]), axis=0)[0] + np.diff(percentiles(samples["b"]), axis=0)[0]
    assert (high - low < 0.75 * alone).all()
    paired = delong_difference(scores.labels, scores.logits, other, scores.clusters)
    assert [i.value for i in paired] == pytest.approx(value)
    assert [i.low for i in paired] == pytest.approx(low, abs=0.012)
    assert [i.high for i in paired] == pytest.approx(high, abs=0.012)


def test_a_model_less_itself_has_no_interval(make_scores):
    scores = make_scores(100)
    for interval in delong_difference(scores.labels, scores.logits, scores.logits):
        assert interval.value == 0
        assert np.isnan(interval.low)


def test_no_interval_is_claimed_where_the_data_give_none():
    labels = np.array([[1.0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]])
    perfect = labels + np.arange(4.0)[::-1, None] / 10
    intervals = delong(labels, perfect)
    assert [i.value for i in intervals[:2]] == [1.0, 1.0]
    assert np.isnan(intervals[2].value)
    assert np.isnan([i.low for i in intervals]).all()


def test_bad_bootstraps():
    with pytest.raises(ValueError, match="at least one resample and one patient, got 0 and 3"):
        bootstrap(lambda w: {}, np.arange(3), resamples=0)


def test_an_interval_is_json_with_null_for_nan():
    assert to_json(Estimate.from_interval(Interval(0.5, np.nan, 0.75, np.int64(9), 3))) == {
        "value": 0.5,
        "low": None,
        "high": 0.75,
        "n": 9,
        "positives": 3,
    }


def test_a_ratio_of_sums_is_the_share_with_its_clustered_interval():
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 60, 200)
    hits = (rng.random(200) < 0.2 + 0.5 * (clusters % 2)).astype(float)
    part, whole = (np.bincount(clusters, v, 70)[:, None] for v in (hits, np.ones(200)))
    expected = proportion(hits, clusters)
    assert [float(v[0]) for v in shares(part, whole)] == pytest.approx([expected.value, expected.low, expected.high])


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_the_ends_of_a_ratio_have_an_interval_too(value):
    found = shares(np.full(30, value), np.ones(30))
    assert found[0] == value
    width = 1.96**2 / (30 + 1.96**2)  # Wilson's for 0 of n
    assert found[2] - found[1] == pytest.approx(width, abs=1e-3)
    assert np.isnan(shares(np.zeros(3), np.zeros(3))).all()


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_newcombes_table(hits, n, low, high):
    """Newcombe 1998, Statistics in Medicine 17, 857, table I, method 3."""
    assert [float(limit) for limit in wilson(hits / n, n)] == pytest.approx([low, high], abs=5e-5)


def test_a_difference_from_contributions_is_symmetric_and_may_be_negative():
    shares = np.random.default_rng(0).normal(0, 0.05 / np.sqrt(4000), 4000)
    low, high = Spread.linear(-0.1, shares, 4000).interval(0.95)
    assert [low, high] == pytest.approx([-0.198, -0.002], abs=0.003)


def test_the_interval_of_a_mean_counts_what_the_parts_share():
    part, weights = Spread.normal(0.8, 0.01, 1e6), np.full(2, 0.5)
    alone, same = (combined([part, part], weights, shared) for shared in (np.eye(2), np.ones((2, 2))))
    assert same == pytest.approx(part.interval(0.95))
    assert alone[1] - alone[0] == pytest.approx((same[1] - same[0]) / np.sqrt(2))


def test_a_skewed_part_leaves_a_difference_skewed():
    near_one = share_spread(np.ones(20), np.ones(20))
    middle = Spread.normal(0.5, 0.0001, 1e6)
    low, high = combined([near_one, middle], np.array([1.0, -1.0]), np.eye(2))
    assert 0.5 - low > 3 * (high - 0.5)


def test_the_auc_of_few_patients_has_an_interval_only_within_a_mean():
    labels, scores = np.array([1, 0, 1, 0, 1, 0, 0, 0]), np.array([3.0, 1, 2, 0, 4, 2.5, 1, 0])
    spread = auc_spread(labels, scores, np.arange(8))
    assert np.isnan(spread.interval(0.95)[0])
    assert spread.usable
    assert not auc_spread(np.ones(8), scores, np.arange(8)).usable
