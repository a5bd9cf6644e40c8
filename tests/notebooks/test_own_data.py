"""The notebook for one's own data: executed without a network, with the results that it promises."""

import json
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest
from notebook_runner import ROOT, environment, execute, read

import zoo
from zoo.evaluation.result import from_json

pytestmark = [
    pytest.mark.tensorflow_only,
    pytest.mark.skipif(find_spec("nbclient") is None, reason="nbclient executes notebooks: the extra dev"),
    pytest.mark.skipif(find_spec("sklearn") is None, reason="scikit-learn fits the probe"),
]

NOTEBOOK = ROOT / "examples" / "own_data.ipynb"


def test_it_runs_offline_in_ten_cells_and_its_probe_learns(tmp_path, zoo_home):
    notebook = read(NOTEBOOK)
    assert sum(cell.cell_type == "code" for cell in notebook.cells) == 10
    text = execute(notebook, tmp_path, environment(ZOO_HOME=str(zoo_home), HF_HUB_OFFLINE="1"))
    result = from_json(json.loads((tmp_path / "own-data" / "mine-run" / "metrics.json").read_text()))
    crossed = result.probe.cross_validation
    assert list(crossed.findings) == ["large heart", "effusion", "Pneumothorax", "device"]
    assert crossed.mean.value > 0.75
    assert crossed.findings["device"].low > 0.9
    assert f"{crossed.mean.value:.3f} [{crossed.mean.low:.3f}, {crossed.mean.high:.3f}]" in text
    assert "FAILED" not in text
    mine = zoo.load(tmp_path / "own-data" / "mine")
    paths = sorted((tmp_path / "own-data" / "drawn" / "test2").glob("*.jpg"))[:3]
    assert mine.predict(paths).shape == (3, 4)
    labels = pd.read_csv(tmp_path / "own-data" / "my.csv")
    assert len(labels) == 300


def test_its_committed_outputs_have_pictures_and_figures():
    import nbformat

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, 11))
    shown = [output.data for cell in code for output in cell.outputs if "data" in output]
    sizes = [len(data["image/png"]) for data in shown if "image/png" in data]
    assert len(sizes) == 3
    assert np.max(sizes) < 150_000
    assert any("Cross-validated over all 299 images" in str(data.get("text/markdown")) for data in shown)
