"""Describes the differences between two releases in readable lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from zoo.config.specs import to_dict
from zoo.core.errors import ReleaseError
from zoo.evaluation.decision import Decision, OperatingPoint
from zoo.evaluation.result import Estimate, Evaluation
from zoo.labels.parts import spoken_part
from zoo.release.folder import ReleaseFolder
from zoo.release.manifest import Listed, plain

_Group = Iterator[str]

_SAME_WEIGHTS = "the weights are the same"

#: Entries of metrics.json that are shown in full.
_SHOWN = re.compile(r"(findings\..*|macro)\.auc\.(value|low|high|n|positives)|split|split_hash|n")


def diff(a: ReleaseFolder, b: ReleaseFolder) -> list[str]:
    """Lists the differences between two releases by group; weights are compared by their hashes, not read.

    Args:
        a: The earlier release, or the reference.
        b: The later release.

    Returns:
        Lines that start with their group: "model", "labels", "decision", "metrics", "provenance" or "files"; [] if
        there is no difference. Figures on different images are marked as not comparable. Figures on the same images are
        shown with their own intervals, which are not intervals of the difference.

    Raises:
        ReleaseError: A file has changed since the release was read, or is nested too deeply.

    Example:
        >>> diff(read_release("old"), read_release("new"))  # doctest: +SKIP
        ['decision: temperature 1.31 -> 1.28', 'files: the weights are the same']
    """
    groups = {
        "model": _model(a, b),
        "labels": _names("finding", a.spec.findings, b.spec.findings),
        "decision": _decisions(a, b),
        "metrics": _metrics(a, b),
        "provenance": _provenance(a, b),
        "files": _files(a, b),
    }
    try:
        lines = [plain(f"{group}: {line}") for group, found in groups.items() for line in found]
    except RecursionError:
        raise ReleaseError(f"{a.folder} and {b.folder}: a JSON file is nested too deeply to be compared") from None
    return lines if lines != [f"files: {_SAME_WEIGHTS}"] else []


def _model(a: ReleaseFolder, b: ReleaseFolder) -> _Group:
    before, after = to_dict(a.spec), to_dict(b.spec)
    for spec in (before, after):
        del spec["findings"]
        spec["members"] = {member["alias"] or member["backbone"]: member for member in spec["members"]}
    old, new = before.pop("members"), after.pop("members")
    yield from _names("member", [*old], [*new])
    for name in old:
        if name in new:
            yield from (f"member {name}, {change}" for change in _changes(old[name], new[name]))
    yield from _changes(before, after)
    yield from _changes({"parameters": dict(a.parameters)}, {"parameters": dict(b.parameters)})
    yield from _changes({"storage": to_dict(a.storage)}, {"storage": to_dict(b.storage)})


def _names(kind: str, before: Sequence[str], after: Sequence[str], ordered: bool = True) -> _Group:
    yield from (f"{kind} {name} removed" for name in before if name not in after)
    yield from (f"{kind} {name} added" for name in after if name not in before)
    if ordered and [n for n in before if n in after] != [n for n in after if n in before]:
        yield f"{kind}s in another order: {', '.join(before)} -> {', '.join(after)}"


def _decisions(a: ReleaseFolder, b: ReleaseFolder) -> _Group:
    yield from _decision(a.decision, b.decision)
    yield from _names("decision of member", [*a.member_decisions], [*b.member_decisions], ordered=False)
    for name, before in a.member_decisions.items():
        if name in b.member_decisions:
            yield from (f"{name} alone, {line}" for line in _decision(before, b.member_decisions[name]))


def _decision(before: Decision, after: Decision) -> _Group:
    if before.temperature != after.temperature:
        yield f"temperature {_arrow(before.temperature, after.temperature)}"
    yield from _changes(_origin(before.temperature_origin), _origin(after.temperature_origin), "temperature fitted: ")
    if before.default != after.default:
        yield f"default operating point {before.default} -> {after.default}"
    old, new = before.operating_points, after.operating_points
    yield from _names("operating point", [*old], [*new], ordered=False)
    for name in old:
        if name in new:
            yield from (f"{name}, {line}" for line in _point(before, old[name], after, new[name]))
    trained = [dict(zip(d.findings, d.trained, strict=True)) for d in (before, after)]
    words = {True: "trained", False: "not trained"}
    for finding, was in trained[0].items():
        if trained[1].get(finding, was) != was:
            yield f"{finding} {words[was]} -> {words[not was]}"


def _point(before: Decision, old: OperatingPoint, after: Decision, new: OperatingPoint) -> _Group:
    thresholds = [dict(zip(d.findings, p.thresholds, strict=True)) for d, p in ((before, old), (after, new))]
    for finding in (f for f in thresholds[0] if f in thresholds[1]):
        was, now = thresholds[0][finding], thresholds[1][finding]
        if was != now:
            yield f"threshold of {finding} {_arrow([was], [now])}"
    if old.achieved != new.achieved:
        yield "what the thresholds reached on the validation part is other"
    yield from _changes(_origin(old.origin), _origin(new.origin), "fitted: ")


def _origin(origin: Any) -> dict[str, Any]:
    return to_dict(origin) if origin is not None else {}


def _metrics(a: ReleaseFolder, b: ReleaseFolder) -> _Group:
    stored = [release.json("metrics.json") for release in (a, b)]
    if stored[0] == stored[1]:
        return
    before, after = a.evaluation, b.evaluation
    if before is None or after is None:
        yield f"{_images(before)} -> {_images(after)}"
        return
    same = [(result.split_hash, result.split, result.n) for result in (before, after)]
    if same[0] == same[1] and before.split_hash:
        yield f"on the same images, {_images(before)}; the intervals are each model's own, not of the difference"
    else:
        yield f"not comparable, on other images or an unnamed split: {_images(before)} -> {_images(after)}"
    old, new = _aucs(before), _aucs(after)
    for name in {**old, **new}:
        was, now = _figure(old.get(name)), _figure(new.get(name))
        if was != now:
            yield f"{name} {was} -> {now}"
    leaves = [{path: v for path, v in _flat(m) if not _SHOWN.fullmatch(path)} for m in stored]
    others = sum(leaves[0].get(path) != leaves[1].get(path) for path in {**leaves[0], **leaves[1]})
    if others:
        yield f"{others} other entries of metrics.json differ"


def _images(result: Evaluation | None) -> str:
    if result is None:
        return "not evaluated"
    return f"{spoken_part(result.split)} of split {result.split_hash[:12] or 'unnamed'}, n {result.n}"


def _aucs(result: Evaluation) -> dict[str, Estimate | None]:
    return {
        "mean AUC": result.macro.find("auc"),
        **{f"AUC of {name}": row.find("auc") for name, row in result.findings.items()},
    }


def _figure(number: Estimate | None) -> str:
    """Formats a figure with its interval and n; values come from untrusted metrics and may have any size."""
    if number is None or number.value is None:
        return "undefined"
    ends = [end for end in (number.low, number.high) if end is not None]
    if any(abs(value) >= 1e6 for value in (number.value, *ends)):
        return "undefined"
    interval = f"[{ends[0]:.4f}, {ends[1]:.4f}]" if len(ends) == 2 else "no interval"
    return f"{number.value:.4f} {interval} (n {number.n}, {number.positives} positive)"


def _provenance(a: ReleaseFolder, b: ReleaseFolder) -> _Group:
    facts = []
    for release in (a, b):
        known = dict(release.provenance)
        recipe = known.get("recipe")
        if isinstance(recipe, Mapping) and recipe.get("ensemble") == to_dict(release.spec):
            known["recipe"] = {key: value for key, value in recipe.items() if key != "ensemble"}
        config = release.config
        written = {f"written by {key}": config[key] for key in ("zoo", "keras") if key in config}
        facts.append({"license": release.license, **written, **known})
    yield from _changes(facts[0], facts[1])
    records = (a.trained_on, b.trained_on)
    before, after = ("unknown" if record is None else str(record) for record in records)
    if records[0] is not None and records[1] is not None:
        same = (
            np.isin(records[0].train, records[1].train).sum(),
            np.isin(records[0].validation, records[1].validation).sum(),
        )
        if before != after or (len(records[0].train), len(records[0].validation)) != same:
            yield f"images trained on: {before} -> {after} (the same: {same[0]:,} and {same[1]:,})"
    elif before != after:
        yield f"images trained on: {before} -> {after}"


def _files(a: ReleaseFolder, b: ReleaseFolder) -> _Group:
    old, new = a.files, b.files
    weights = [{f"{m.name}.safetensors" for m in release.spec.members} for release in (a, b)]
    yield from (f"{name} removed ({_bytes(old[name])})" for name in old if name not in new)
    yield from (f"{name} added ({_bytes(new[name])})" for name in new if name not in old)
    for name in (n for n in old if n in new and old[n] != new[n]):
        kind = "other weights" if name in weights[0] | weights[1] else "other content"
        yield f"{name}: {kind} ({_bytes(old[name])} -> {_bytes(new[name])})"
    if weights[0] == weights[1] and all(old.get(name) == new.get(name) for name in weights[0]):
        yield _SAME_WEIGHTS


def _bytes(file: Listed) -> str:
    return f"{file.size:,} bytes, sha256 {file.sha256[:12]}"


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = "") -> _Group:
    """Lists the fields that differ, by path: "recipe.stages.1.epochs 3 -> 5"."""
    old, new = dict(_flat(before)), dict(_flat(after))
    for path in {**old, **new}:
        if path not in old or path not in new or old[path] != new[path]:
            was, now = (json.dumps(d[path], ensure_ascii=False) if path in d else "not set" for d in (old, new))
            yield f"{prefix}{path} {was} -> {now}"


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the leaves by path; lists of plain values and empty containers count as leaves."""
    items: list[tuple[Any, Any]] = list(value.items()) if isinstance(value, Mapping) else []
    if isinstance(value, list) and all(isinstance(item, Mapping) for item in value):
        items = list(enumerate(value))
    if not items:
        yield path, value
    for key, item in items:
        yield from _flat(item, f"{path}.{key}" if path else str(key))


def _arrow(before: Sequence[float | None], after: Sequence[float | None]) -> str:
    """Formats two lists of numbers, with enough digits to tell them apart."""
    for digits in (4, 17):
        was, now = (", ".join("none" if v is None else f"{v:.{digits}g}" for v in d) for d in (before, after))
        if was != now:
            break
    return f"{was} -> {now}"
