"""Renders the committed model cards.

    python hub_cards/render.py                     renders every card, after a change of template.md or a .toml
    python hub_cards/render.py xrayslam-demo RUN   renders one card with the results of a finished `zoo train`

`facts.json` holds the part of a run's results that the card shows; the whole `metrics.json` is more than ten times as
long.
Run the script in a checkout, with `PYTHONPATH=.` if the package is not installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.config.specs import EnsembleSpec, from_dict, to_dict
from zoo.core.files import write_text
from zoo.evaluation.decision import Decision
from zoo.evaluation.result import HALF, Estimates, Evaluation, Measure, ModelNumbers, from_json, to_json
from zoo.evaluation.result.evaluation import Calibration, Change
from zoo.evaluation.result.groups import Gaps, Group, Subgroups
from zoo.names.catalog import CATALOG
from zoo.release import card, manifest
from zoo.training.recipe import load_recipe

CARDS = Path(__file__).parent

#: Measures of each finding that a card shows, beside those at the default operating point.
_SHOWN = ("auc", "average_precision", "ece", "brier")


def render(name: str) -> str:
    """Renders the card of a model: from its facts if it was trained, otherwise from its recipe."""
    facts = CARDS / name / "facts.json"
    if not facts.is_file():
        recipe = to_dict(load_recipe(name.removesuffix("-ensemble")))
        return card.render(CATALOG[name].spec, None, provenance={"recipe": recipe})
    spec, result, given = read_facts(facts)
    return card.render(spec, result, **given)


def read_facts(path: Path) -> tuple[EnsembleSpec, Evaluation, dict[str, Any]]:
    """Reads the spec, the result, and the other arguments of `card.render`."""
    facts = json.loads(path.read_text("utf-8"))
    spec = from_dict(EnsembleSpec, facts["spec"])
    decision = Decision.from_dict(facts["decision"], spec.findings)
    return spec, from_json(facts["result"]), {"decision": decision, "provenance": facts["provenance"]}


def facts_of(run: Path) -> dict[str, Any]:
    """Collects the part of the release in a run's folder that a card shows."""
    config, metrics, decision = (
        manifest.read_json(run / "release" / f"{name}.json") for name in ("config", "metrics", "decision")
    )
    return {
        "spec": config["ensemble"],
        "result": to_json(shown(from_json(metrics))),
        "decision": to_dict(_decision(Decision.from_dict(decision["ensemble"]))),
        "provenance": manifest.read_json(run / "provenance.json"),
    }


def shown(result: Evaluation) -> Evaluation:
    """Selects the part of a result that a card shows."""
    called = [Measure(name, point) for name in ("f1", "sensitivity", "specificity") for point in (HALF, result.point)]
    wanted = {*map(Measure, _SHOWN), *called}
    numbers = {
        "findings": {finding: _some(row, wanted) for finding, row in result.findings.items()},
        "micro": _some(result.micro, wanted),
        "weighted": _some(result.weighted, wanted),
    }
    none = dict.fromkeys(("curves", "cooccurrence", "coherence", "projection", "leakage", "mistakes", "abstention"))
    return dataclasses.replace(
        result,
        **numbers,
        points={name: point for name, point in result.points.items() if name == result.point},
        models={name: _means(model) for name, model in result.models.items()},
        differences={name: _means(model) for name, model in result.differences.items()},
        calibration=_calibration(result.calibration),
        subgroups=_subgroups(result.subgroups),
        **none,
    )


def _some(row: Estimates, wanted: set[Measure]) -> Estimates:
    return Estimates({measure: number for measure, number in row.by_measure.items() if measure in wanted})


def _means(model: ModelNumbers) -> ModelNumbers:
    return ModelNumbers({}, macro=_some(model.macro, {Measure("auc"), Measure("average_precision")}))


def _calibration(block: Calibration | None) -> Calibration | None:
    none: Mapping[Measure, Change] = {}
    return block and dataclasses.replace(block, findings={}, micro=none, weighted=none)


def _subgroups(block: Subgroups | None) -> Subgroups | None:
    def short(group: Group) -> Group:
        auc = {Measure("auc")}
        return dataclasses.replace(
            group,
            findings={finding: _some(row, auc) for finding, row in list(group.findings.items())[:1]},
            macro=_some(group.macro, auc),
            refused={},
        )

    if block is None:
        return None
    groupings = {
        name: dataclasses.replace(
            grouping,
            groups={group: short(numbers) for group, numbers in grouping.groups.items()},
            gaps={Measure("auc"): Gaps({}, grouping.auc.macro, None)},
            within=None,
        )
        for name, grouping in block.groupings.items()
    }
    return dataclasses.replace(block, all=short(block.all), groupings=groupings)


def _decision(decision: Decision) -> Decision:
    points = {
        name: dataclasses.replace(point, achieved=(), reached={}, prevalence=())
        for name, point in decision.operating_points.items()
    }
    return dataclasses.replace(decision, operating_points=points)


def lines(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """Formats JSON with one line for each block, so that a diff shows which block changed."""
    parts = (
        f"{json.dumps(name)}: {{\n"
        + ",\n".join(f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in block.items())
        + "\n}"
        for name, block in facts.items()
    )
    return "{\n" + ",\n".join(parts) + "\n}\n"


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=sorted(path.stem for path in CARDS.glob("*.toml")))
    parser.add_argument("run", nargs="?", type=Path)
    options = parser.parse_args()
    if options.run is not None:
        write_text(CARDS / options.name / "facts.json", lines(facts_of(options.run)))
    for name in [options.name] if options.name else sorted(path.stem for path in CARDS.glob("*.toml")):
        (CARDS / name).mkdir(exist_ok=True)
        write_text(CARDS / name / "README.md", render(name))


if __name__ == "__main__":
    main()
