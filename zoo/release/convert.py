"""Makes releases from other releases and finished runs: with another number type or licence, or from HDF5 weights."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.config.specs import EnsembleSpec, from_dict
from zoo.core.errors import RecipeError, ReleaseError, WeightsError
from zoo.evaluation.decision import Decision
from zoo.evaluation.result import Evaluation
from zoo.gate import reference
from zoo.gate.reference import Reference
from zoo.release import card, install, manifest, small_files
from zoo.release import tested as scores
from zoo.release.build import build_checked, load_members
from zoo.release.layout import DType
from zoo.release.read import read_release
from zoo.release.tested import OwnScores
from zoo.release.trained_on import TrainedOn
from zoo.release.write import write_release

#: File of a run with the specification of its model, whose weights of the members may have been fitted.
ENSEMBLE = "ensemble.json"

if TYPE_CHECKING:
    from zoo.models.ensemble import Ensemble


def release_of(source: str | Path, out: str | Path, *, dtype: DType | None = None, license: str = "") -> Path:
    """Writes a release from a run, a release folder or an installed name.

    A run without a release is converted from its `.weights.h5`, which is read in a child process; nothing is trained or
    evaluated again.

    Args:
        source: Installed name, release folder, or folder of a finished run (whose release may have been deleted).
        out: Folder of the new release.
        dtype: Number type of the stored weights; None keeps the present type.
        license: SPDX name of the weights' licence; "" keeps the present licence.

    Returns:
        `out`.

    Raises:
        FileNotFoundError: There is neither a release nor a run.
        ReleaseError: The run is not finished, or its weights cannot be read.
    """
    out, run = Path(out), Path(source).expanduser()
    if (run / "recipe.json").is_file() and not (run / "release" / manifest.MANIFEST).is_file():
        return _from_run(run, out, dtype or "float32", license)
    place = install.local(source)
    if dtype is None and not license:
        return install.copy(place, out)
    found = read_release(place)
    return _write(
        out,
        build_checked(found),
        found.spec,
        found.decision,
        found.member_decisions,
        (found.evaluation, found.provenance),
        dtype or found.storage.dtype,
        license or found.license,
        found.trained_on,
        found.gate,
        found.tested,
    )


def _from_run(run: Path, out: Path, dtype: DType, license: str) -> Path:
    """Writes a release from the files that `zoo train` leaves: recipe, decision, metrics, provenance, weights."""
    from zoo.models.weights import h5

    missing = [n for n in ("decision.json", "metrics.json", "provenance.json") if not (run / n).is_file()]
    if missing:
        raise ReleaseError(
            f"{run}: the run is not finished ({', '.join(missing)} missing): run the same zoo train again"
        )
    recipe = manifest.read_json(run / "recipe.json")
    spec = _spec(run, recipe)
    decisions = manifest.read_json(run / "decision.json")
    weights = run / recipe["stages"][-1]["best_weights"]
    with tempfile.TemporaryDirectory() as converted:
        try:
            h5.convert(weights, spec, Path(converted))
        except WeightsError as error:
            raise ReleaseError(str(error)) from error
        model = load_members(spec, Path(converted))
    result = small_files.read_evaluation(manifest.read_json(run / "metrics.json"))
    provenance = manifest.read_json(run / "provenance.json")
    decision = small_files.read_decision(run, decisions.get("ensemble"), spec)
    members = small_files.read_members(run, decisions, spec)
    gate = reference.load(run / reference.FILE) if (run / reference.FILE).is_file() else None
    tested = scores.read(run, len(spec.findings)) if (run / scores.FILE).is_file() else None
    return _write(
        out, model, spec, decision, members, (result, provenance), dtype, license, TrainedOn.of_run(run), gate, tested
    )


def _write(
    out: Path,
    model: Ensemble,
    spec: EnsembleSpec,
    decision: Decision,
    members: Mapping[str, Decision],
    facts: tuple[Evaluation | None, Mapping[str, Any]],
    dtype: DType,
    license: str,
    trained_on: TrainedOn | None,
    gate: Reference | None,
    tested: OwnScores | None,
) -> Path:
    result, provenance = facts
    return write_release(
        out,
        model,
        spec,
        decision,
        member_decisions=members,
        metrics=result,
        provenance=provenance,
        card=card.render(
            spec, result, decision=decision, provenance=provenance, license=license, checks=str(gate or "")
        ),
        license=license,
        dtype=dtype,
        trained_on=trained_on,
        gate=gate,
        tested=tested,
    )


def _spec(run: Path, recipe: dict[str, Any]) -> EnsembleSpec:
    """The model of a run, with its fitted weights; older runs state it in the recipe alone."""
    fitted = run / ENSEMBLE
    source = fitted if fitted.is_file() else run / "recipe.json"
    saved = manifest.read_json(fitted) if fitted.is_file() else recipe.get("ensemble", {})
    try:
        return from_dict(EnsembleSpec, saved, "ensemble")
    except RecipeError as error:
        raise ReleaseError(f"{source}: {error}") from None
