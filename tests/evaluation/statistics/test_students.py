import math

import pytest

from zoo.core.errors import EvaluationError
from zoo.evaluation.statistics.students import quantile, within

#: Two-sided 95 and 99 % points of Student's t, from any table.
TABLE = {1: (12.7062, 63.6567), 2: (4.3027, 9.9248), 5: (2.5706, 4.0321), 30: (2.0423, 2.7500), 120: (1.9799, 2.6174)}


@pytest.mark.parametrize("freedom", TABLE)
def test_quantiles_are_those_of_the_tables(freedom):
    assert [quantile(level, freedom) for level in (0.95, 0.99)] == pytest.approx(TABLE[freedom], abs=6e-5)


def test_quantiles_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    for freedom in (0.3, 1, 1.5, 2.7, 9, 33.3, 400, 1e5, 1e8):
        for level in (0.01, 0.5, 0.9, 0.95, 0.999):
            assert quantile(level, freedom) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=1e-7), freedom


def test_one_and_two_degrees_of_freedom_have_closed_forms():
    for t in (1e-3, 0.4, 1.0, 7.0, 1e6):
        assert within(t, 1) == pytest.approx(2 * math.atan(t) / math.pi, abs=1e-13)
        assert within(t, 2) == pytest.approx(t / math.sqrt(2 + t * t), abs=1e-13)


@pytest.mark.parametrize(("level", "freedom"), [(0, 3), (1, 3), (0.95, 0), (0.95, math.nan)])
def test_what_is_out_of_range_is_an_error(level, freedom):
    with pytest.raises(EvaluationError, match=r"a level in \(0, 1\) and freedom above 0"):
        quantile(level, freedom)
