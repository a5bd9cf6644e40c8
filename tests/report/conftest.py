"""An evaluation with every block there is, and what else a page shows."""

import full_evaluation
import numpy as np
import pytest
from full_evaluation import FINDINGS

from zoo.evaluation.result import from_json
from zoo.report.html import write_report
from zoo.report.mistakes import Mistake


@pytest.fixture(scope="session")
def everything() -> dict:
    """What `metrics.json` holds of an evaluation with all that may be added to it."""
    return full_evaluation.everything()


@pytest.fixture(scope="session")
def bare() -> dict:
    """The least there is: scores of unknown scale, without patients, of one model."""
    return full_evaluation.bare()


@pytest.fixture(scope="session")
def history() -> list[dict]:
    """Rows as a CSV reader gives them: text, with blanks."""
    rows = []
    for member in ("small", "large"):
        for i, (stage, auc) in enumerate([("stage1", "0.6"), ("stage1", "0.7"), ("stage2", "")], 1):
            row = {"job": f"{member} {stage}", "stage": stage, "epoch": str(i), "loss": str(1 / i)}
            rows.append(row | {"val_loss": str(1.1 / i), "val_auc": auc})
    return rows


@pytest.fixture(scope="session")
def mistakes() -> list[Mistake]:
    film = np.linspace(0, 255, 900 * 700).reshape(900, 700).astype(np.uint8)
    overlay = np.stack([film, film, 255 - film], axis=-1)
    first = Mistake("film <1>.png", FINDINGS[0], 0, 0.98765, film, overlay)
    return [first, Mistake("film 2.png", FINDINGS[1], 1, 0.01234, film[:64, :64])]


@pytest.fixture(scope="session")
def written(everything, history, mistakes, tmp_path_factory):
    """The page of all there is."""
    folder = tmp_path_factory.mktemp("report")
    command = "zoo evaluate --out <here> " + "--long " * 40
    return write_report(
        from_json(everything), folder, history=history, mistakes=mistakes, heatmap_method="Grad-CAM", command=command
    )
