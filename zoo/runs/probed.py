"""How well a probed model does with its own heads, as its release states it, beside the heads that are fitted on it."""

from __future__ import annotations

from pathlib import PurePath

from zoo.data.splits import Split
from zoo.evaluation.result.probing import OwnHeads
from zoo.inference.predictor import Predictor
from zoo.runs.seen_before import release_of


def own_heads(model: Predictor, split: Split) -> OwnHeads | None:
    """Reads the evaluation of the probed model from its release.

    Args:
        model: The probed model.
        split: The split of the probe; a test part of the same hash holds the same images of the same patients.

    Returns:
        The evaluation; None if the release has none with a mean AUC, or if only some of its members are probed.
    """
    found, release = model.metrics, release_of(model)
    if found is None or release is None or len(model.members) < len(model.spec.members):
        return None
    mean = found.macro.find("auc")
    if mean is None or mean.value is None:
        return None
    return OwnHeads(
        name=PurePath(model.name).name,  # it is published: no local path
        data=release.listing.provenance.data.name,
        split=found.split,
        images=found.n,
        patients=found.patients,
        patients_known=found.patients_known,
        fine_tuned=found.probe is None,
        same_images=found.split == "test" and found.split_hash == split.hash,
        findings={name: row.auc for name, row in found.findings.items() if row.auc.value is not None},
        mean=mean,
    )
