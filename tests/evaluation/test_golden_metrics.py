"""The form of `metrics.json` is frozen by a small evaluation of made-up scores that has every block.

PYTHONPATH=.:tests python tests/evaluation/test_golden_metrics.py      writes the golden file anew
"""

import json
from pathlib import Path

import full_evaluation
import pytest
from full_evaluation import differences

GOLDEN = Path(__file__).parent / "golden" / "metrics.json"

#: Fewer than all operating points, so that the file stays small.
POINTS = ("max_f1", "sensitivity_50_guaranteed", "specificity_50_guaranteed")


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text("utf-8"))


def test_an_evaluation_is_written_as_it_always_was(golden):
    assert list(differences(full_evaluation.everything(POINTS), golden)) == []


def test_the_check_itself_sees_what_changes(golden):
    changed = json.loads(json.dumps(golden))
    changed["macro"]["auc"]["value"] += 1e-6
    changed["findings"] = dict(reversed(changed["findings"].items()))
    changed["notes"] = []
    changed["patients"] = float(changed["patients"])
    assert {line.partition(":")[0] for line in differences(changed, golden)} == {
        "/macro/auc/value",
        "/findings",
        "/notes",
        "/patients",
    }


def rounded(value):
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.11f}") if isinstance(value, float) else value


if __name__ == "__main__":
    blocks = (
        f"{json.dumps(key)}: {json.dumps(rounded(block), separators=(',', ':'))}"
        for key, block in full_evaluation.everything(POINTS).items()
    )
    GOLDEN.write_text("{\n" + ",\n".join(blocks) + "\n}\n", "utf-8")
