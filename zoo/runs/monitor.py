"""`zoo monitor`: compares the images that a running site has scored with those of a reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from zoo.core.counting import counted
from zoo.core.csv import shortened
from zoo.core.errors import ReleaseError, TableError
from zoo.core.files import content_key
from zoo.core.seeds import check_seed
from zoo.data.images.listing import check_exist
from zoo.evaluation.decision import Decision, positives, probabilities
from zoo.evaluation.drift import Change, Drift, Side, compare
from zoo.evaluation.period import MOST, MOST_FEATURES, Period, independent
from zoo.evaluation.statistics.counts import at_least
from zoo.labels.facts import own_patient
from zoo.names import sources
from zoo.release.folder import ReleaseFolder
from zoo.release.manifest import MANIFEST
from zoo.release.tested import QUALITIES, OwnScores
from zoo.report.drift_page import rows_of, verdict
from zoo.runs.period_images import UNREADABLE, quality_shares
from zoo.runs.periods import Read, read_period

#: Facts of the files that have to be equal, each with its words, and those that are only told.
_SAME = {
    "manifest_sha256": "the manifest's sha256", "members": "the members", "decision": "the decision's hash",
}  # fmt: skip
_TOLD = {"runtime": "runtime and precision", "zoo": "version of zoo"}

_TABLES = (".csv", ".gz", ".parquet")

#: Digits of scores and thresholds in CSV, and how far two of them may be apart by that.
_DIGITS, _ROUNDING = 6, 1e-5


def monitor(reference: str | Path, new: str | Path, *, alpha: float = 0.05, seed: int = 0) -> Drift:
    """Compares scores, calls, quality and features of new images with those of a reference.

    Args:
        reference: Table of a reference period, as `zoo predict` or `zoo embed` writes it (CSV, Parquet, or the folder
            of a cluster); or name, folder or reference of a release, whose own scores of its test part are then used.
        new: Table of the new images, made in the same way.
        alpha: Rate of false alarms, of all distances together.
        seed: Of the draws and divisions.

    Raises:
        TableError: A table cannot be used, or the two are of other findings, another model or another decision.
        ReleaseError: The release has no scores of its own.
        EvaluationError: There are too few images.
        UsageError: `alpha` or `seed` is out of range.
    """
    check_seed(seed)
    if _is_table(reference):
        own = read_period(reference)
        now = read_period(new, among=own.period.findings)
    else:
        check_exist([Path(new)])  # before a model is fetched
        found = sources.find(reference, ())
        tested = _scores_of(found, str(reference))
        now = read_period(new, among=found.spec.findings)
        own, now = _of_release(found.decision, tested, found, str(reference), now)
    notes = [*own.notes, *now.notes, *_check_same(own, now)]
    most = MOST_FEATURES if now.members else MOST
    drawn = []
    for read, draw in ((own, seed), (now, seed + 1)):
        rows = independent(read.period.units, most, draw)
        taken = read.period.take(rows)
        drawn.append(replace(taken, scores=_rounded(taken.scores), features=read.features(rows)))
        notes += _counts(read, len(rows))
    notes += _shared_patients(own.period, now.period)
    periods = (own.period, now.period)
    return compare(
        drawn[0], drawn[1], alpha=alpha, seed=seed, images=(len(periods[0]), len(periods[1])),
        units=(len(np.unique(periods[0].units)), len(np.unique(periods[1].units))), notes=notes,
    )  # fmt: skip


def as_text(found: Drift) -> str:
    """The result as a table for one screen of a terminal."""
    sides = (f"{side.compared:,} of {counted(side.images, 'image')} of {side.name}" for side in _sides(found))
    lines = [f"Compared: {' against '.join(sides)}.", f"{verdict(found)}", ""]
    lines.append(f"{'':27}{'share in %':>13}{'distance (limit)':>27}")
    lines.append(f"{'':27}{'before   now':>13}{'KS, h, MMD':>15}{'PSI':>16}{'p':>7}")
    for row in rows_of(found):
        share, first, second = row.share, row.first, row.second
        mark = "*" if row.calls is not None and row.calls.p <= found.alpha else " "
        shares = "" if share is None else f"{100 * share[0]:.1f} {100 * share[1]:5.1f}{mark}"
        cells = f"{shares:>14}{_cell(first):>14}{_cell(second):>16}{row.p:>7.3f}"
        lines.append(f"{row.name[:26]:27}{cells}{' ALARM' if row.alarm else ''}")
    if any(change.about == "calls" for change in found.alarms):
        lines.append("* the share of calls is beyond its limit")
    lines += _known(found)
    return "\n".join([*lines, "", *(f"note: {note}" for note in found.notes)])


def _known(found: Drift) -> Iterator[str]:
    """The numbers of values that are compared."""
    names: dict[tuple[int, int], list[str]] = {}
    for change in found.changes:
        names.setdefault((change.n, change.n_new), []).append(change.name)
    most = max(names, key=lambda numbers: len(names[numbers]))
    for (before, now), those in sorted(names.items(), key=lambda item: item[0] != most):
        of = "" if (before, now) == most else f" of {', '.join(dict.fromkeys(those))}"
        yield f"n{of}: {before:,} before, {now:,} now"


def _sides(found: Drift) -> tuple[Side, Side]:
    return found.new, found.reference


def _cell(change: Change | None) -> str:
    if change is None:
        return ""
    # Of many images limits are small.
    digits = 2 if change.limit is None or change.limit >= 0.1 else 3 if change.limit >= 0.01 else 4
    return f"{change.distance:.{digits}f} ({'-' if change.limit is None else f'{change.limit:.{digits}f}'})"


def _is_table(reference: str | Path) -> bool:
    path = Path(reference)
    return path.suffix in _TABLES or path.is_file() or (path.is_dir() and not (path / MANIFEST).is_file())


def _scores_of(found: ReleaseFolder, name: str) -> OwnScores:
    if found.tested is None:
        raise ReleaseError(
            f"{name}: the release holds no scores of its test part (`zoo train` writes them now): give a table of a "
            "reference period instead, as `zoo predict IMAGES --out reference.parquet` writes it"
        )
    return found.tested


def _of_release(decision: Decision, tested: OwnScores, found: ReleaseFolder, name: str, now: Read) -> tuple[Read, Read]:
    """The release's own scores, and the new images with calls at the same operating point."""
    if not now.period.findings:
        raise TableError(
            f"{now.period.name} holds features, and a release holds none: give features of a reference period, as "
            "`zoo embed` writes them"
        )
    point = _point_of(decision, now)
    trained = [i for i, known in enumerate(decision.trained) if known]
    names = tuple(decision.findings[i] for i in trained)
    chances = probabilities(tested.logits, decision)
    words = np.array(QUALITIES)[tested.quality]
    shares = {UNREADABLE: np.zeros(len(words), np.float32)} | quality_shares(words)
    calls = positives(chances, decision, point)[:, trained]
    period = Period(f"{name} (its test part)", tested.patients, "patient", names, chances[:, trained], calls, shares)
    facts = {
        "manifest_sha256": found.manifest_sha256,
        "decision": content_key(decision.to_dict(), 16),
    }
    own = Read(period, facts=facts, thresholds=now.thresholds)
    if now.period.calls is None and set(now.period.findings) == set(names) and now.kind == "probabilities":
        now = _with_calls(now, decision, point)
    return own, now


def _with_calls(now: Read, decision: Decision, point: str) -> Read:
    """Adds calls to a table of probabilities alone."""
    at = [decision.findings.index(finding) for finding in now.period.findings]
    chances, limits = _rounded(now.period.scores), _rounded(np.array(decision.point(point).thresholds)[at])
    calls = np.where(np.isnan(chances) | np.isnan(limits), np.nan, at_least(chances, limits))
    said = f"{now.period.name} holds no calls: they were made at {point!r}, the release's own operating point"
    return replace(now, period=replace(now.period, calls=calls), notes=(*now.notes, said))


def _rounded(numbers: np.ndarray) -> np.ndarray:
    """Numbers as CSV has them, so that equal ones, such as steps of an isotonic calibration, are equal in any file."""
    values = numbers.astype(np.float64)
    size = np.log10(np.abs(values), where=values != 0, out=np.zeros_like(values))
    scale = 10.0 ** (_DIGITS - 1 - np.floor(size))
    rounded: np.ndarray = np.round(values * scale) / scale
    return rounded


def _point_of(decision: Decision, now: Read) -> str:
    """The operating point that made the calls of a table; the release's own for a table without calls."""
    if not now.thresholds:
        return decision.default
    for name, point in decision.operating_points.items():
        own = dict(zip(decision.findings, point.thresholds, strict=True))
        if all(_equal(own.get(finding), limit) for finding, limit in now.thresholds.items()):
            return name
    raise TableError(
        f"{now.period.name}: its thresholds are those of no operating point of the release "
        f"({', '.join(decision.operating_points)}): it was made with another decision or release"
    )


def _equal(one: float | None, other: float) -> bool:
    return one is not None and bool(np.isclose(one, other, rtol=_ROUNDING, atol=0))


def _check_same(own: Read, now: Read) -> Iterator[str]:
    """Refuses tables that cannot be compared; yields what is told of the others."""
    one, other = own.period, now.period
    both = f"{one.name} and {other.name}"
    for fact, words in _SAME.items():
        theirs, ours = own.facts.get(fact, ""), now.facts.get(fact, "")
        # A cluster's parts state the beginning of the hash.
        length = min(len(theirs), len(ours)) if fact == "manifest_sha256" else None
        if theirs and ours and theirs[:length] != ours[:length]:
            raise TableError(
                f"{both} differ in {words}: {theirs[:60]} and {ours[:60]}: a comparison needs one model and decision"
            )
    if bool(one.findings) != bool(other.findings) or bool(own.members) != bool(now.members):
        raise TableError(f"{both}: one holds {_held(own)}, the other {_held(now)}: compare tables of one kind")
    missing, extra = set(one.findings) - set(other.findings), set(other.findings) - set(one.findings)
    if missing or extra:
        raise TableError(
            f"{both} have other findings: only the first has {shortened(sorted(missing)) or 'none'}, only the second "
            f"{shortened(sorted(extra)) or 'none'}"
        )
    if own.kind != now.kind:
        raise TableError(f"{both}: one holds {own.kind}, the other {now.kind}")
    sizes = [{member: len(headers) for member, headers in read.members.items()} for read in (own, now)]
    if sizes[0] != sizes[1]:
        raise TableError(f"{both} have features of other members: {sizes[0]} and {sizes[1]}")
    for finding in one.findings:
        before, after = own.thresholds.get(finding), now.thresholds.get(finding)
        if before is not None and after is not None and not _equal(before, after):
            raise TableError(
                f"{both} have another threshold of {finding!r}: {before:.6g} and {after:.6g}: the calls of both need "
                "one decision"
            )
    yield from _told(own, now)


def _held(read: Read) -> str:
    return " and ".join(word for word, held in (("scores", read.period.findings), ("features", read.members)) if held)


def _told(own: Read, now: Read) -> Iterator[str]:
    one, other = own.period, now.period
    if silent := [read.period.name for read in (own, now) if not read.facts.get("manifest_sha256")]:
        yield f"no model is stated in {' and '.join(silent)}, so that both are of one was not checked (CSV states none)"
    for fact, words in _TOLD.items():
        before, after = own.facts.get(fact), now.facts.get(fact)
        if before and after and before != after:
            yield f"{words} differ: {before} and {after}; that alone may change scores a little"
    skipped = [read.period.name for read in (own, now) if "rejected images" in read.facts]
    if len(skipped) == 1:
        yield f"rejected images have no scores in {skipped[0]} alone (--on-reject skip): scores may differ by that"
    if one.findings and (one.calls is None or other.calls is None):
        yield "calls are not compared: not both tables hold them"
    for word in sorted({*one.shares} ^ {*other.shares}):
        yield f"{word} images are not compared: not both sides know how many"
    if one.unit != other.unit:
        yield f"{one.name} is compared by {one.unit}, {other.name} by {other.unit}"


def _counts(read: Read, compared: int) -> Iterator[str]:
    """What one image of each unit was, and what has no scores."""
    period, units = read.period, len(np.unique(read.period.units))
    more = "false alarms are more frequent than stated (a column 'Patient ID' tells them)"
    if period.unit == "image":
        yield (
            f"{period.name}: patients are not known, so each image is taken for a patient of its own; where patients "
            f"have several images, {more}"
        )
    elif units < len(period):
        of = f"{counted(len(period), 'image')} of {counted(units, period.unit)}"
        yield f"{period.name}: {of}, of which one each is drawn"
    if period.unit == "study":
        yield f"{period.name}: patients are not known, but studies are; where patients have several studies, {more}"
    if period.unit != "image" and (own := sum(str(unit).startswith(own_patient("")) for unit in period.units)):
        yield f"{period.name}: images whose {period.unit} is not known, each taken for one of its own: {own:,}"
    if compared < units:
        yield f"{period.name}: {compared:,} of {units:,} are compared, drawn at random"
    missing = np.isnan(period.scores).any(axis=1).sum() if period.findings else 0
    if missing:
        yield f"{period.name}: images without a score of each finding (NaN): {missing:,} of {len(period):,}"


def _shared_patients(one: Period, other: Period) -> Iterator[str]:
    named = one.unit == other.unit == "patient" and one.units.dtype.kind == other.units.dtype.kind == "U"
    if named and (shared := len(np.intersect1d(one.units, other.units))):
        yield f"{counted(shared, 'patient is', 'patients are')} in both tables, which makes the comparison cautious"
