"""Writes a release: one folder with a trained model and everything that is needed to use and check it.

config.json          specification of the model; format version
<member>.safetensors weights of each member, without executable content
labels.json          names of the outputs, in order
decision.json        temperature and thresholds with their origin, for the ensemble and for each member
metrics.json         all numbers of the evaluation, with n and interval
gate.safetensors     what the training images look like, for checks of the quality of others, if it was fitted
tested.safetensors   scores of images of the test part, which a running site is compared with, if there is such a part
trained_on.safetensors   digests of the images of the training and validation parts, if they are known
parity.json          golden logits on the images in parity.safetensors, for comparison on other backends
README.md            the model card for people, who may edit it
exports/             the network in int8, if it was accepted: the only format that cannot be made from weights alone
manifest.json        size and sha256 of all other files, and the origin of the weights
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo._version import __version__
from zoo.config.specs import FORMAT_VERSION, EnsembleSpec, to_dict
from zoo.config.weighting import check_stored
from zoo.core.errors import RecipeError, ReleaseError
from zoo.evaluation.decision import Decision
from zoo.evaluation.result import Evaluation, to_json
from zoo.evaluation.untrained import marked
from zoo.gate import reference
from zoo.gate.reference import Reference
from zoo.release import golden, install, manifest
from zoo.release.documents import Storage
from zoo.release.layout import DType
from zoo.release.tested import OwnScores
from zoo.release.trained_on import TrainedOn

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble


def write_release(
    folder: str | Path,
    model: Ensemble,
    spec: EnsembleSpec,
    decision: Decision,
    *,
    member_decisions: Mapping[str, Decision] | None = None,
    metrics: Evaluation | None = None,
    provenance: Mapping[str, Any] | None = None,
    card: str = "",
    license: str = "",
    dtype: DType = "float32",
    trained_on: TrainedOn | None = None,
    gate: Reference | None = None,
    tested: OwnScores | None = None,
) -> Path:
    """Writes a release folder in one step, all or nothing; an earlier release there is replaced.

    Args:
        folder: Folder of the release.
        model: The trained ensemble (float32 variables). With a smaller `dtype` it keeps the rounded weights afterwards.
        spec: Specification that `model` was built from.
        decision: Decision fitted on a validation part; it has the findings of `spec`.
        member_decisions: Decision of each member alone, by name.
        metrics: Evaluation results. `mistakes`, `leakage` and `left_out`, which name images, are dropped.
        provenance: Recipe, seed, split hash and versions (JSON values).
        card: Text of `README.md`.
        license: SPDX name of the weights' licence, if it is known.
        dtype: Number type of the stored weights. The change of the golden logits by rounding is stored.
        trained_on: Digests of the images that the model was trained on, if they are known.
        gate: What its training images look like; without it the quality of images is "unknown".
        tested: Scores of the test part, for `zoo monitor`.
    """
    if decision.findings != spec.findings:
        raise ReleaseError(f"the decision is for {decision.findings}, the model for {spec.findings}")
    try:
        check_stored(spec.weighting)
    except RecipeError as error:
        raise ReleaseError(str(error)) from None
    decision = marked(decision, spec.untrained)
    decisions = {"ensemble": decision.to_dict()}
    alone = {name: marked(d, spec.only({name}).untrained) for name, d in (member_decisions or {}).items()}
    decisions["members"] = {name: d.to_dict() for name, d in alone.items()}
    with install.whole(Path(folder)) as new:
        manifest.write_json(new / "config.json", _config(spec))
        manifest.write_json(new / "labels.json", {"findings": list(spec.findings)})
        manifest.write_json(new / "decision.json", decisions)
        # A release contains no name of an image.
        shared = None if metrics is None else replace(metrics, mistakes=None, leakage=None, left_out=None)
        manifest.write_json(new / "metrics.json", {} if shared is None else to_json(shared))
        storage = _write_weights(new, model, spec, dtype)
        (new / manifest.CARD).write_text(card, "utf-8")
        if trained_on is not None:
            trained_on.write(new)
        if gate is not None:
            reference.save(gate, new / reference.FILE)
        if tested is not None:
            tested.write(new)
        facts = {
            "format_version": FORMAT_VERSION,
            "zoo": __version__,
            "license": license,
            "storage": to_dict(storage),
            "parameters": {m.name: int(sum(np.prod(v.shape) for v in m.weights)) for m in model.members},
            "provenance": dict(provenance or {}),
            "files": manifest.to_json(manifest.describe(new)),
        }
        manifest.write_json(new / manifest.MANIFEST, facts)
    return Path(folder)


def _config(spec: EnsembleSpec) -> dict[str, Any]:
    import keras

    versions = {"zoo": __version__, "keras": keras.__version__}
    return {"format_version": FORMAT_VERSION, **versions, "ensemble": to_dict(spec.without_paths())}


def _write_weights(folder: Path, model: Ensemble, spec: EnsembleSpec, dtype: DType) -> Storage:
    """Weights and golden logits; the golden logits are those of the weights as they are stored."""
    from zoo.models.weights.files import load_safetensors, save_safetensors

    before = golden.predict(model, golden.images(spec.image_size)) if dtype != "float32" else None
    for member in model.members:
        save_safetensors(member, folder / f"{member.name}.safetensors", dtype)
        if before is not None:
            load_safetensors(member, folder / f"{member.name}.safetensors")
    logits = golden.write(folder, model, spec.image_size)
    error = 0.0 if before is None else float(np.abs(logits["ensemble"] - before).max())
    return Storage(dtype, error)
