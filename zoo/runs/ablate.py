"""`zoo ablate`: trains a recipe with and without each of its ingredients, over several seeds, and compares them."""

from __future__ import annotations

import dataclasses
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.config.specs import to_dict
from zoo.core.counting import counted
from zoo.core.csv import read_columns
from zoo.core.errors import CheckpointError
from zoo.core.files import content_key, seal, sealed, sha256, whole_folder, write_json, write_text
from zoo.core.process import require_own_process
from zoo.core.progress import Progress
from zoo.data.studies import studies_of
from zoo.evaluation import ablation as results
from zoo.evaluation.ablation import Table
from zoo.evaluation.scores import Scores
from zoo.evaluation.studies.rule import join
from zoo.names import porting
from zoo.runs import training_data
from zoo.runs.training_data import Prepared
from zoo.training import assess, building, interruption, resuming, stages
from zoo.training.ablation import Ablation, Variant
from zoo.training.examples import trained_findings

#: Files of a cell: the test part's logits, and what they were made from.
_LOGITS, _FACTS = "predictions.csv", "cell.json"

#: The table, for people and for programs.
PAGE, TABLE = "ablation.md", "ablation.json"


@dataclass(frozen=True)
class Outcome:
    """The result of an ablation.

    Attributes:
        folder: Its folder.
        stopped: Why it stopped before its end, "" if it is done; the same command goes on.
        table: The comparison of the cells that are done; None if no pair of variants is.
    """

    folder: Path
    stopped: str
    table: Table | None


@dataclass(frozen=True, eq=False)
class _Work:
    """What all cells share."""

    folder: Path
    ablation: Ablation
    held: Prepared

    def variant(self, name: str, seed: int) -> Variant:
        """A variant as it is trained: weights of ports that it names come with the pixels that they expect."""
        found = self.ablation.variant(name, seed)
        ensemble = porting.with_starts(found.recipe.ensemble)
        return dataclasses.replace(found, recipe=dataclasses.replace(found.recipe, ensemble=ensemble))


def ablate(
    ablation: Ablation,
    data: Path,
    folder: Path,
    progress: Progress,
    *,
    dataset: str | None = None,
    max_hours: float | None = None,
    cache: Path | None = None,
) -> Outcome:
    """Trains every variant with every seed on one split, and writes `ablation.json` and `ablation.md`.

    The logits of each finished cell (a variant and a seed) are kept in `cells/`; its weights are deleted. The same call
    goes on where an earlier one stopped, also in the middle of a cell. Variants that differ in nothing that training
    sees share one training.

    Args:
        ablation: The recipe and its ingredients.
        data: Folder of images and table, or the table.
        folder: Folder of the ablation; created if missing.
        progress: Receives the progress of every step.
        dataset: Format of the table, if it differs from the recipe's.
        max_hours: Stops cleanly after this many hours.
        cache: Folder of decoded images; by default the recipe decides.

    Raises:
        CheckpointError: `folder` holds cells of another recipe, split or data.
        StateError: This process was forked from one that had already loaded or trained a model.
    """
    require_own_process()
    folder.mkdir(parents=True, exist_ok=True)
    until = None if max_hours is None else time.monotonic() + 3600 * max_hours
    stopped = ""
    try:
        with interruption.at_once():
            held = training_data.prepare(ablation.recipe, data, dataset, folder, progress, cache)
            work = _Work(folder, _with_findings(ablation, held.recipe.ensemble.findings), held)
            for seed in ablation.seeds:
                stopped = stopped or _train_seed(work, seed, until, progress)
    except interruption.Signalled as stop:
        return Outcome(folder, stop.name, None)
    return Outcome(folder, stopped, _compare(work))


def _with_findings(ablation: Ablation, findings: tuple[str, ...]) -> Ablation:
    """The ablation with the findings of the table, which a table of one's own decides."""
    ensemble = dataclasses.replace(ablation.recipe.ensemble, findings=findings)
    return dataclasses.replace(ablation, recipe=dataclasses.replace(ablation.recipe, ensemble=ensemble))


def _train_seed(work: _Work, seed: int, until: float | None, progress: Progress) -> str:
    """Trains what is missing of one seed; returns why it stopped, or ""."""
    held, variants = work.held, {name: work.variant(name, seed) for name in work.ablation.variants}
    for cell in (_cell(work, name, seed) for name in variants):
        if cell.exists() and _facts(cell) is None:
            progress.message(f"{cell}: damaged; it is trained anew")
            shutil.rmtree(cell)
    missing = [name for name, variant in variants.items() if not _done(work, name, seed, variant)]
    for name in missing:
        building.check(variants[name].recipe, fresh=True)
    trainings: dict[str, list[str]] = {}
    for name in missing:
        trainings.setdefault(_training_key(variants[name]), []).append(name)
    for key, names in trainings.items():
        progress.message(f"seed {seed}: {', '.join(names)}")
        run = work.folder / "runs" / f"{key}-{seed}"
        left = None if until is None else (until - time.monotonic()) / 3600
        if left is not None and left <= 0:
            return "max_hours"
        recipe = variants[names[0]].recipe
        result = stages.train(
            recipe, held.table, held.split, run,
            max_hours=left, progress=progress, read=held.read, data=held.data,
        )  # fmt: skip
        if result.stopped:
            return result.stopped
        seconds = sum(float(row["seconds"]) for row in result.history)
        for name in names:
            _score(variants[name], work, run, _cell(work, name, seed), seconds, progress)
        shutil.rmtree(run)
    return ""


def _training_key(variant: Variant) -> str:
    """Equal for variants that are trained alike: views and fitted weights come after training."""
    ensemble = variant.recipe.ensemble
    if isinstance(ensemble.weighting, str):
        ensemble = dataclasses.replace(ensemble, weighting="uniform")
    return content_key(to_dict(dataclasses.replace(variant.recipe, ensemble=ensemble, tta=None)), 12)


def _identity(work: _Work, variant: Variant) -> dict[str, Any]:
    return {
        "recipe": content_key(to_dict(variant.recipe)),
        "by_study": variant.by_study,
        "split": work.held.split.hash,
        "data": content_key(work.held.data.key),
    }


def _cell(work: _Work, name: str, seed: int) -> Path:
    plain = "".join(c if c.isalnum() else "-" for c in name.lower())
    return work.folder / "cells" / f"{plain}-{content_key(name, 6)}-{seed}"


def _done(work: _Work, name: str, seed: int, variant: Variant) -> bool:
    cell = _cell(work, name, seed)
    facts = _facts(cell)
    if facts is None:
        return False
    saved, wanted = facts["of"], _identity(work, variant)
    if changed := [key for key, value in wanted.items() if saved.get(key) != value]:
        raise CheckpointError(
            f"{cell}: made with another {' and '.join(changed)}: use another folder (--out), or delete the cell "
            "to train it anew"
        )
    return True


def _facts(cell: Path) -> dict[str, Any] | None:
    """What a cell was made from; None if there is none, or if it or its logits were cut off or altered."""
    try:
        facts: dict[str, Any] = json.loads((cell / _FACTS).read_bytes())
        known = facts.get("logits")  # none in cells of earlier versions
        sound = sealed(facts) and (known is None or known == sha256(cell / _LOGITS))
        return facts if sound and isinstance(facts["of"], dict) else None
    except (FileNotFoundError, ValueError, KeyError, AttributeError):
        return None


def _score(variant: Variant, work: _Work, run: Path, cell: Path, seconds: float, progress: Progress) -> None:
    """Writes the test part's logits of a trained variant, and what they were made from."""
    held, rows = work.held, work.held.split.rows("test")
    logits = assess.assess(variant.recipe, held.table, held.split, run, progress, held.read).scores.logits
    if variant.by_study:
        studies = studies_of(held.table)[0][rows]
        joined = join(logits, studies)
        logits = joined.logits[joined.rows_of(studies)]
    frame = pd.DataFrame(logits, columns=[f"logit_{finding}" for finding in variant.recipe.ensemble.findings])
    frame.insert(0, "Image_name", held.table["Image_name"].to_numpy()[rows])
    with whole_folder(cell) as new:
        frame.to_csv(new / _LOGITS, index=False)
        facts = {"of": _identity(work, variant), "seconds": round(seconds, 1), "logits": sha256(new / _LOGITS)}
        facts["versions"] = resuming.versions()
        write_json(new / _FACTS, seal(facts))


def _compare(work: _Work) -> Table | None:
    """Compares the cells that are done, and writes the table."""
    done: dict[str, dict[int, Scores]] = {}
    minutes: dict[str, list[float]] = {}
    versions: set[str] = set()
    ablation, trained = work.ablation, _trained(work)
    for name in ablation.variants:
        for seed in ablation.seeds:
            if _done(work, name, seed, work.variant(name, seed)):
                cell = _cell(work, name, seed)
                done.setdefault(name, {})[seed] = _scores(cell, work, trained)
                facts = json.loads((cell / _FACTS).read_text("utf-8"))
                minutes.setdefault(name, []).append(facts["seconds"] / 60)
                if "versions" in facts:  # none in cells of earlier versions
                    versions.add(", ".join(f"{what} {version}" for what, version in facts["versions"].items()))
    table = results.table(ablation.variants, len(ablation.seeds), done, minutes)
    if table is None:
        return None
    out = [finding for finding, known in zip(ablation.recipe.ensemble.findings, trained, strict=True) if not known]
    notes = [f"Not trained by every variant, so left out: {', '.join(out)}."] if out else []
    # It went on under other versions, or on another backend.
    more = "The cells were not all made alike, which may be part of the differences: "
    notes += [f"{more}{'; '.join(sorted(versions))}."] if len(versions) > 1 else []
    table = dataclasses.replace(table, notes=tuple(notes))
    write_json(work.folder / TABLE, to_dict(table))
    images = counted(len(work.held.split.rows("test")), "image")
    write_text(work.folder / PAGE, f"# {ablation.name}\n\n{results.markdown(table, images)}")
    return table


def _trained(work: _Work) -> list[bool]:
    """Whether each finding was trained by all variants, so that all are compared on the same findings."""
    held, seed = work.held, work.ablation.seeds[0]
    recipes = [work.variant(name, seed).recipe for name in work.ablation.variants]
    each = [trained_findings(recipe, held.table, held.split) for recipe in recipes]
    return [all(column) for column in zip(*each, strict=True)]


def _scores(cell: Path, work: _Work, trained: Sequence[bool]) -> Scores:
    recipe, columns = work.ablation.recipe, read_columns(cell / _LOGITS)
    logits = np.stack([columns.numbers(f"logit_{finding}") for finding in recipe.ensemble.findings], axis=1)
    held = work.held
    return assess.scores_of(held.table, held.split, "test", held.split.rows("test"), logits, recipe, trained)
