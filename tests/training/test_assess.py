"""What a finished run is told about findings that its training part could not teach."""

import dataclasses

import numpy as np
import pytest
from small_run import make_recipe, make_table, split_of

from zoo.core.progress import Silent
from zoo.evaluation.result import Mean
from zoo.models.ensemble import Ensemble

pytest.importorskip("tensorflow", reason="training needs TensorFlow's data pipeline")
pytest.importorskip("sklearn", reason="the pixel baseline is scikit-learn's")

from zoo.training import folds
from zoo.training.assess import assess

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.mark.parametrize("k", [0, 2])
def test_a_finding_that_no_data_trained_has_no_figure_anywhere(tmp_path, monkeypatch, k):
    recipe = dataclasses.replace(make_recipe(members=2), members="separate", folds=k)
    table = make_table(tmp_path / "films")
    split = split_of(table, recipe)
    learned = folds.learned_from(recipe, split).rows("train")
    table["Edema"] = table["Edema"].where(~table.index.isin(learned), 0.0).astype(np.float32)
    table.loc[split.rows("test")[:4], "Edema"] = np.array([0, 1, 0, 1], np.float32)
    model = Ensemble.from_spec(folds.model_of(recipe))
    monkeypatch.setattr("zoo.training.assess.load_best", lambda *_: model)
    found = assess(recipe, table, split, tmp_path, Silent())
    assert found.decision.trained == (True, False, True)
    result = found.result
    assert result.findings["Edema"].auc.value is None
    mean = result.macro.auc
    assert isinstance(mean, Mean)
    assert (mean.findings, mean.of) == (2, 3)
    assert "not trained, so not evaluated: Edema" in result.notes
    for numbers in result.models.values():
        assert numbers.findings["Edema"].auc.value is None
    assert result.members is not None
    uniform = result.members.choices["uniform"].auc
    assert (uniform.value, uniform.n) == (pytest.approx(mean.value), mean.n)
