"""The card's front matter: what the Hub itself reads, results included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.config.specs import EnsembleSpec
from zoo.release.card_facts import DataFacts

#: Keys of the front matter, in the order they are written.
_ORDER = ["library_name", "pipeline_tag", "license", "license_name", "license_link", "tags", "datasets", "metrics"]


def front_matter(spec: EnsembleSpec, metrics: Mapping[str, Any], data: DataFacts, license: str) -> str:
    """The YAML between the card's two `---`, without them.

    Args:
        spec: What the model is made of.
        metrics: What `report.evaluate` gave, or {}: then there is no `model-index`.
        data: What it was trained and evaluated on.
        license: The Hub's id of a licence, or "".
    """
    from huggingface_hub import ModelCardData

    results = _eval_results(metrics, data)
    named = data if license == data.license == "other" else DataFacts()
    card = ModelCardData(
        library_name="xrayslam-zoo",
        pipeline_tag="image-classification",
        license=license or None,
        license_name=named.license_name or None,
        license_link=named.license_link or None,
        tags=["chest-x-ray", "radiology", "medical-imaging", "multi-label", *(m.backbone for m in spec.members)],
        datasets=[data.id] if data.id else None,
        metrics=list(dict.fromkeys(r.metric_type for r in results)) or None,
        model_name=spec.name if results else None,
        eval_results=results or None,
    )
    return card.to_yaml(original_order=_ORDER)


def _eval_results(metrics: Mapping[str, Any], data: DataFacts) -> list[Any]:
    """Mean AUC, weighted F1 at the default point, mean AP, and each finding's AUC; undefined ones are left out."""
    from huggingface_hub import EvalResult

    if not metrics:
        return []
    point = metrics["default_point"] or "half"
    named = [
        ("roc_auc", "AUC, mean over findings", metrics["macro"]["auc"]),
        ("f1", f"F1 at {point}, weighted by positives", metrics.get("weighted", {}).get(f"f1@{point}")),
        ("average_precision", "AP, mean over findings", metrics["macro"]["average_precision"]),
        *(("roc_auc", f"AUC, {finding}", row["auc"]) for finding, row in metrics["findings"].items()),
    ]
    common = {
        "task_type": "image-classification",
        "task_name": "Findings on chest X-rays (multi-label)",
        "dataset_type": data.id or "not-recorded",
        "dataset_name": data.title or "not recorded",
        "dataset_split": metrics["split"],
        "dataset_args": {"split_hash": metrics["split_hash"], "films": metrics["n"], "patients": metrics["patients"]},
    }
    level = metrics["interval"]["level"]
    return [
        EvalResult(
            metric_type=kind, metric_name=name, metric_value=_rounded(number["value"]), metric_args=args, **common
        )
        for kind, name, number in named
        if number and number["value"] is not None
        for args in [_interval(number, level)]
    ]


def _interval(number: Mapping[str, Any], level: float) -> dict[str, Any]:
    found = {"n": number["n"], "positives": number["positives"]}
    if number["low"] is None:
        return found
    return {**found, "low": _rounded(number["low"]), "high": _rounded(number["high"]), "level": level}


def _rounded(value: float) -> float:
    return round(value, 4)
