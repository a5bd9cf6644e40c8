import numpy as np
import pytest

from zoo.core.errors import UsageError
from zoo.core.seeds import check_seed
from zoo.data.phantoms.drawing import make_phantoms
from zoo.data.splits import SplitSpec
from zoo.evaluation.scores import Scores
from zoo.evaluation.statistics.intervals import draw
from zoo.runs.evaluate import Request
from zoo.training.probes.spec import ProbeSpec


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "1", None, True])
def test_a_seed_that_no_generator_takes_is_refused_wherever_it_is_given(seed, tmp_path):
    scores = Scores(np.zeros((4, 1)), np.array([[0.0], [1], [0], [1]]), ("Edema",), "test")
    for use in (
        lambda: check_seed(seed),
        lambda: SplitSpec(seed=seed),
        lambda: ProbeSpec(seed=seed),
        lambda: Request(seed=seed),
        lambda: next(draw(3, resamples=2, seed=seed)),
        lambda: scores.patients_share(0.5, seed),
        lambda: make_phantoms(tmp_path, n_images=1, n_test=1, broken=0, seed=seed),
    ):
        with pytest.raises(UsageError, match="a seed is an integer from 0 to 4294967295"):
            use()


def test_the_largest_seed_and_numpys_integers_are_accepted():
    assert check_seed(2**32 - 1) == 2**32 - 1
    assert type(check_seed(np.int64(7))) is int
