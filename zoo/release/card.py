"""The card of a release: what a person reads before using it. Every number comes from the release itself."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.config.specs import EnsembleSpec, to_dict
from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.data.augment import AugmentSpec
from zoo.evaluation import report
from zoo.evaluation.decision import Decision
from zoo.labels.findings import FINDINGS
from zoo.release import card_facts, card_metadata
from zoo.release.card_merge import merge as merge


def render(
    spec: EnsembleSpec,
    metrics: Mapping[str, Any],
    *,
    decision: Decision | None = None,
    provenance: Mapping[str, Any] | None = None,
    license: str = "",
    repo: str = "",
    storage: Mapping[str, Any] | None = None,
) -> str:
    """The whole card: front matter and Markdown, each section between marks that `merge` finds again.

    What is not given is said to be missing. Of `provenance` these are read: `recipe`, `split` (`by`, `seed`, `hash`,
    `films` of each part, `leaked_patients`), `data` (`name`, `form` of its table), `training` (`hours`, `device`),
    versions and date.

    Args:
        spec: What the model is made of.
        metrics: What `report.evaluate` gave; {} says that nothing was evaluated.
        decision: Temperature and thresholds; those of the metrics by default.
        provenance: Where the weights come from. With no metrics, no decision, and nothing here but a `recipe` or not
            even that, the card is of weights that are still to be trained.
        license: Id of the licence of the weights; by default the one that is known of model and data, if any.
        repo: "owner/name" or "owner/name@revision" on the Hub; "" for a folder.
        storage: `dtype` and `logit_error` of the stored weights.

    Raises:
        ReleaseError: Metrics or provenance that lack what a finished run has.
    """
    import jinja2

    provenance = provenance or {}
    facts = card_facts.of_model(spec)
    planned = not metrics and decision is None and set(provenance) <= {"recipe"}
    page = _environment(template().parent).get_template(template().name)
    try:
        data = card_facts.to_come(facts) if planned else card_facts.of_data(facts, provenance)
        data = dataclasses.replace(data, title=_plain(data.title))
        license = license or data.license
        return page.render(
            front_matter=card_metadata.front_matter(spec, metrics, data, license),
            words=facts,
            data=data,
            planned=planned,
            chexpert_labels=spec.findings == FINDINGS,
            **_plain(_numbers(spec, metrics, decision, provenance)),
            **_plain({"license": license, "repo": repo, "storage": dict(storage or {})}),
        )
    except (jinja2.UndefinedError, LookupError, TypeError, AttributeError) as error:
        raise ReleaseError(
            f"the card of {spec.name!r} cannot be written: {type(error).__name__}: {error}; metrics, decision and "
            "provenance must be those of one finished run"
        ) from error


def template() -> Path:
    """The card's template: package data in an installed wheel, `hub_cards/` beside the package in a checkout."""
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
    return environment


def _numbers(
    spec: EnsembleSpec, metrics: Mapping[str, Any], decision: Decision | None, provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """What the template shows of a run."""
    points, default = metrics.get("points", {}), metrics.get("default_point")
    temperature, origin, untrained = metrics.get("temperature", []), None, []
    if decision is not None:
        points, default = _points(decision), decision.default
        temperature, origin = decision.temperature, decision.temperature_origin
        untrained = [f for f, trained in zip(decision.findings, decision.trained, strict=True) if not trained]
    macro = metrics.get("macro", {})
    return {
        "spec": to_dict(spec),
        "metrics": metrics,
        "results": _results(metrics),
        # A run may read its table in another form than the recipe's.
        "form": provenance["data"].get("form") if "data" in provenance else provenance.get("recipe", {}).get("dataset"),
        "provenance": provenance,
        **{key: provenance.get(key, {}) for key in ("recipe", "split", "training")},
        "split_by": (provenance.get("split") or provenance.get("recipe", {}).get("split", {})).get("by"),
        "points": points,
        "default_point": default,
        "at_points": [name for name in points if f"sensitivity@{name}" in macro],
        "decided": decision is not None,
        "temperature": temperature,
        "temperature_origin": to_dict(origin) if origin else None,
        "untrained": untrained,
        "calibrator": decision.calibrator.kind if decision is not None and decision.calibrator else "",
        "shifted": decision is not None and decision.prior_shift is not None,
        "calibrated": "brier" in macro,
    }


def _points(decision: Decision) -> dict[str, Any]:
    return {
        name: {"thresholds": dict(zip(decision.findings, p.thresholds, strict=True)), "origin": to_dict(p.origin)}
        for name, p in decision.operating_points.items()
    }


class _Markdown(str):
    """Text that is Markdown already."""


def _results(metrics: Mapping[str, Any]) -> str:
    """The report's tables, its headings one level lower."""
    if not metrics:
        return ""
    return _Markdown(re.sub(r"^#", "##", report.markdown(_plain(metrics)).strip(), flags=re.MULTILINE))


def _plain(value: Any) -> Any:
    """Names and texts that other people chose, nested ones too, such that they break no table, line or mark."""
    if isinstance(value, _Markdown):
        return value
    if isinstance(value, str):
        return re.sub(r"\s+", " ", value).replace("|", "\\|").replace("<!--", "&lt;!--")
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _figure(number: Mapping[str, Any]) -> str:
    """A number with its interval, if any, and of how many findings it is the mean; a dash for an undefined one."""
    text = _decimals(number["value"])
    if number["value"] is not None and number["low"] is not None:
        text += f" [{number['low']:.3f}, {number['high']:.3f}]"
    partial = number.get("findings") != number.get("of")
    return text + (f" ({number['findings']} of {number['of']})" if partial else "")


def _decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _start(weights: str | None) -> str:
    """Where training starts; of a local file the name alone, since its folder is nobody's business."""
    if weights is None:
        return "random weights"
    return "ImageNet weights" if weights == "imagenet" else "the file " + re.split(r"[/\\]", weights)[-1]


def _augmentation(fields: Mapping[str, Any]) -> str:
    """The steps that are on, by their names in the recipe."""
    off = dataclasses.asdict(AugmentSpec())
    if not fields.get("kerascv"):
        fields = {key: value for key, value in fields.items() if key != "kerascv_strength"}
    on = [f"{key.replace('_', ' ')} {value}" for key, value in fields.items() if value != off.get(key)]
    return ", ".join(on) or "none"
