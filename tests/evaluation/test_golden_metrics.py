"""The form of `metrics.json` is frozen by a small evaluation of made-up scores that has every block.

PYTHONPATH=.:tests python tests/evaluation/test_golden_metrics.py      writes the golden file anew
"""

import json
from pathlib import Path

import full_evaluation
import pytest

GOLDEN = Path(__file__).parent / "golden" / "metrics.json"

#: Fewer than all operating points, so that the file stays small.
POINTS = ("max_f1", "sensitivity_50_promised", "specificity_50_promised")


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text("utf-8"))


def differences(found, wanted, where=""):
    """Each place where two JSON documents differ, in the order of their keys too; numbers may be 1e-9 apart."""
    if isinstance(found, dict) and isinstance(wanted, dict):
        if list(found) != list(wanted):
            yield f"{where}: {list(found)}, not {list(wanted)}"
        for key in found.keys() & wanted.keys():
            yield from differences(found[key], wanted[key], f"{where}/{key}")
    elif isinstance(found, list) and isinstance(wanted, list):
        if len(found) != len(wanted):
            yield f"{where}: {len(found)} items, not {len(wanted)}"
        for i, (one, other) in enumerate(zip(found, wanted, strict=False)):
            yield from differences(one, other, f"{where}/{i}")
    elif isinstance(found, float) and isinstance(wanted, float):
        if abs(found - wanted) > 1e-9:
            yield f"{where}: {found}, not {wanted}"
    elif type(found) is not type(wanted) or found != wanted:
        yield f"{where}: {found!r}, not {wanted!r}"


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
