"""Front matter of the card, which the Hub reads, including results."""

from __future__ import annotations

from typing import Any

from zoo.config.specs import EnsembleSpec
from zoo.evaluation.result import Estimate, Evaluation
from zoo.release.card_facts import DataFacts

#: Keys of the front matter, in the order in which they are written.
_ORDER = ["library_name", "pipeline_tag", "license", "license_name", "license_link", "tags", "datasets", "metrics"]


def front_matter(spec: EnsembleSpec, result: Evaluation | None, data: DataFacts, license: str) -> str:
    """Returns the YAML between the two `---` lines of the card.

    Args:
        spec: Specification of the model.
        result: Result of `report.evaluate`, or None for no `model-index`.
        data: Data set of training and evaluation.
        license: The Hub's identifier of a licence, or "".
    """
    from huggingface_hub import ModelCardData

    results = _eval_results(result, data) if result else []
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


def _eval_results(result: Evaluation, data: DataFacts) -> list[Any]:
    """Returns mean AUC, weighted F1 at the default point, mean AP, and AUC by finding, without undefined values."""
    from huggingface_hub import EvalResult

    named = [
        ("roc_auc", "AUC, mean over findings", result.macro.auc),
        ("f1", f"F1 at {result.point}, weighted by positives", result.weighted.find("f1", result.point)),
        ("average_precision", "AP, mean over findings", result.macro.get("average_precision")),
        *(("roc_auc", f"AUC, {finding}", row.auc) for finding, row in result.findings.items()),
    ]
    common: dict[str, Any] = {
        "task_type": "image-classification",
        "task_name": "Findings on chest X-rays (multi-label)",
        "dataset_type": data.id or "not-recorded",
        "dataset_name": data.title or "not recorded",
        "dataset_split": result.split,
        "dataset_args": {"split_hash": result.split_hash, "images": result.n, "patients": result.patients},
    }
    return [
        EvalResult(
            metric_type=kind,
            metric_name=name,
            metric_value=_rounded(number.value),
            metric_args=_interval(number, result.interval.level),
            **common,
        )
        for kind, name, number in named
        if number is not None and number.value is not None
    ]


def _interval(number: Estimate, level: float) -> dict[str, Any]:
    found: dict[str, Any] = {"n": number.n, "positives": number.positives}
    if number.low is None or number.high is None:
        return found
    return {**found, "low": _rounded(number.low), "high": _rounded(number.high), "level": level}


def _rounded(value: float) -> float:
    return round(value, 4)
