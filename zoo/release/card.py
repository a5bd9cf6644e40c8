"""Renders the model card of a release. All of its numbers come from the release itself."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.config.specs import EnsembleSpec, to_dict
from zoo.config.weighting import numbers
from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.data.augment import AugmentSpec
from zoo.evaluation import report
from zoo.evaluation.decision import Decision
from zoo.evaluation.result import Estimate, Evaluation, Mean, from_json, to_json
from zoo.evaluation.result.groups import MeanGap
from zoo.evaluation.tta import tta_note
from zoo.labels.findings import FINDINGS
from zoo.labels.parts import part_of, spoken_part
from zoo.release import card_facts, card_metadata
from zoo.release.card_merge import merge as merge
from zoo.release.documents import Storage


def render(
    spec: EnsembleSpec,
    result: Evaluation | None,
    *,
    decision: Decision | None = None,
    provenance: Mapping[str, Any] | None = None,
    license: str = "",
    repo: str = "",
    storage: Storage | None = None,
    checks: str = "",
) -> str:
    """Renders the whole card: front matter and Markdown, with marks around each section for `merge`.

    The card states what is missing. These parts of `provenance` are used: `recipe`, `split` (`by`, `seed`, `hash`,
    `films` (the number of images) of each part, `leaked_patients`), `data` (`name`, `form` of its table), `training`
    (`hours`, `device`), versions and date.

    Args:
        spec: Specification of the model.
        result: Result of `report.evaluate`; None makes the card say that nothing was evaluated.
        decision: Temperature and thresholds; those of the result by default.
        provenance: Origin of the weights. Without a result and a decision, and with at most a `recipe` here, the card
            describes weights that are still to be trained.
        license: Identifier of the licence of the weights; by default the known licence for model and data, if any.
        repo: "owner/name" or "owner/name@revision" on the Hub; "" for a folder.
        storage: How the weights are stored.
        checks: What the quality checks of the release were fitted on, `str(Reference)`; "" without any.

    Raises:
        ReleaseError: The result or provenance lacks an entry that every finished run has.
    """
    import jinja2

    provenance = provenance or {}
    facts = card_facts.of_model(spec)
    planned = result is None and decision is None and set(provenance) <= {"recipe"}
    page = _environment(template().parent).get_template(template().name)
    try:
        data = card_facts.to_come(facts) if planned else card_facts.of_data(facts, provenance)
        data = dataclasses.replace(data, title=_plain(data.title))
        license = license or data.license
        return page.render(
            front_matter=card_metadata.front_matter(spec, result, data, license),
            words=facts,
            data=data,
            planned=planned,
            checks=_plain(checks),
            tta=_plain(" ".join(tta_note(decision))) if decision is not None else "",
            chexpert_labels=spec.findings == FINDINGS,
            **_results(result),
            **_plain(_facts(spec, result, decision, provenance)),
            **_plain({"license": license, "repo": repo, "storage": to_dict(storage) if storage else {}}),
        )
    except (jinja2.UndefinedError, LookupError, TypeError, AttributeError) as error:
        raise ReleaseError(
            f"the card of {spec.name!r} cannot be written: {type(error).__name__}: {error}; result, decision and "
            "provenance must be those of one finished run"
        ) from error


def template() -> Path:
    """Returns the card's template: package data of an installed wheel, or `hub_cards/` in a checkout."""
    return home.shipped("hub_cards") / "template.md"


@functools.cache
def _environment(folder: Path) -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML: `_plain` keeps foreign text from breaking it
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"figure": _figure, "decimals": _decimals, "start": _start, "augmentation": _augmentation}
    environment.filters["spoken_part"] = spoken_part
    environment.filters["part"] = lambda name: part_of(name) or name  # older runs say "tune"
    return environment


def _results(result: Evaluation | None) -> dict[str, Any]:
    """Returns the numbers, and the report's tables with headings one level lower."""
    if result is None:
        return {"result": None, "results": ""}
    safe = from_json(_plain(to_json(result)))
    tables = re.sub(r"^#", "##", report.markdown(safe).strip(), flags=re.MULTILINE)
    return {"result": safe, "results": tables}


def _facts(
    spec: EnsembleSpec, result: Evaluation | None, decision: Decision | None, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the facts that the template shows beside the numbers."""
    points: dict[str, Any] = {}
    if decision is not None:
        points = _points(decision)
    elif result is not None:
        points = {name: to_json(point) for name, point in result.points.items()}
    origin = decision.temperature_origin if decision is not None else None
    return {
        "spec": to_dict(spec),
        "weights": _weights(spec),
        # A run may have read its table in another form than the recipe states.
        "form": provenance["data"].get("form") if "data" in provenance else provenance.get("recipe", {}).get("dataset"),
        "provenance": provenance,
        **{key: provenance.get(key, {}) for key in ("recipe", "split", "training")},
        "split_by": (provenance.get("split") or provenance.get("recipe", {}).get("split", {})).get("by"),
        "points": points,
        "default_point": decision.default if decision is not None else result and result.default_point,
        "at_points": [name for name in points if result is not None and result.macro.find("sensitivity", name)],
        "decided": decision is not None,
        "temperature": decision.temperature if decision is not None else result and result.temperature,
        "temperature_origin": to_dict(origin) if origin else None,
        "untrained": _untrained(decision),
        "calibrator": decision.calibrator.kind if decision is not None and decision.calibrator else "",
        "shifted": decision is not None and decision.prior_shift is not None,
        "calibrated": result is not None and result.macro.find("brier") is not None,
    }


def _weights(spec: EnsembleSpec) -> list[str]:
    """The share of each member in the mean, or its range over the findings; [] for the unweighted mean."""
    if not numbers(spec.weighting):
        return []
    ends = [(f"{min(row):.3f}", f"{max(row):.3f}") for row in spec.shares]
    return [low if low == high else f"{low} to {high}, by finding" for low, high in ends]


def _untrained(decision: Decision | None) -> list[str]:
    if decision is None:
        return []
    return [finding for finding, trained in zip(decision.findings, decision.trained, strict=True) if not trained]


def _points(decision: Decision) -> dict[str, Any]:
    return {
        name: {"thresholds": dict(zip(decision.findings, p.thresholds, strict=True)), "origin": to_dict(p.origin)}
        for name, p in decision.operating_points.items()
    }


def _plain(value: Any) -> Any:
    """Escapes names and texts from other people, including nested ones, so that they break no table, line or mark."""
    if isinstance(value, str):
        return re.sub(r"\s+", " ", value).replace("|", "\\|").replace("<!--", "&lt;!--")
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _figure(number: Estimate) -> str:
    """Formats a number with its interval, if any, and the number of findings averaged; a dash if undefined."""
    text = _decimals(number.value)
    if number.value is not None and number.low is not None:
        text += f" [{number.low:.3f}, {number.high:.3f}]"
    if isinstance(number, Mean | MeanGap) and number.findings != number.of:
        text += f" ({number.findings} of {number.of})"
    return text


def _decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _start(weights: str | None) -> str:
    """Describes the initial weights; a local file is named without its folder, which is private."""
    if weights is None:
        return "random weights"
    if weights == "imagenet":
        return "ImageNet weights"
    return ("the file " if re.search(r"[/\\.]", weights) else "the weights ") + re.split(r"[/\\]", weights)[-1]


def _augmentation(fields: Mapping[str, Any]) -> str:
    """Lists the augmentation steps that are enabled, by their names in the recipe."""
    off = dataclasses.asdict(AugmentSpec())
    if not fields.get("kerascv"):
        fields = {key: value for key, value in fields.items() if key != "kerascv_strength"}
    on = [f"{key.replace('_', ' ')} {value}" for key, value in fields.items() if value != off.get(key)]
    return ", ".join(on) or "none"
