"""Damaged releases whose manifest agrees again, so that what is inside is judged: documents, weights, graphs."""

from __future__ import annotations

import json
import shutil
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from exported import export_facts, loss
from hostile import agree
from publishable import publishable_release

from soak import Trial, Wrong, json_damage, mutation
from soak.mutation import Rng
from soak.sandbox import confined
from zoo.core.errors import ZooError
from zoo.release import golden, layout, manifest
from zoo.release.folder import ReleaseFolder
from zoo.release.read import read_release
from zoo.release.tested import OwnScores

AIM, SECONDS, CLOCK, MEMORY = 10_000, 10.0, "processor", 1 << 30

DOCUMENTS = ("config.json", "labels.json", "decision.json", "metrics.json", layout.LOGITS, manifest.MANIFEST)
TENSORS = (
    *("tiny0.safetensors", "tiny1.safetensors", layout.IMAGES),
    *("gate.safetensors", "trained_on.safetensors", "tested.safetensors"),
)
GRAPH = f"{layout.FOLDER}/{layout.INT8}"


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    sound = complete(folder / "sound")
    target = shutil.copytree(sound, folder / "release" / "mutant")
    wanted = golden.logits_of(read_release(sound))
    judge = _Judge(wanted, folder / "home")
    judge.network(read_release(target))

    def trial(number: int, rng: Rng) -> str:
        name, done = _damage(target, rng)
        try:
            with (
                confined(folder / "release", folder / "home"),
                warnings.catch_warnings(),
            ):
                warnings.simplefilter("ignore")
                return f"{name}, {done}: {judge(target, name, rng)}"
        finally:
            restore(sound, target)

    yield trial


def complete(folder: Path) -> Path:
    """A release with metrics, quality checks, a record of images and a graph for OpenVINO."""
    from zoo.core import home
    from zoo.export.exporting import export

    publishable_release(folder)
    for name in ("gate.safetensors", "trained_on.safetensors"):
        shutil.copyfile(home.INCLUDED / "nih-lite" / name, folder / name)
    findings = len(read_release(folder).spec.findings)
    OwnScores(np.zeros((3, findings), np.float32), np.arange(3, dtype=np.int32), np.zeros(3, np.uint8)).write(folder)
    agree(folder)
    found = read_release(folder)
    made = export(found, folder.parent / "graph", "openvino", batch=1, calibrated=False)
    shutil.copytree(made.folder, folder / GRAPH)
    facts = json.loads((folder / GRAPH / layout.FACTS).read_text())
    acceptance = export_facts({"float32": loss(0.0, 1.0)}).to_json()["acceptance"]
    facts |= {"precision": "int8", "acceptance": acceptance, "format_version": 1}
    (folder / GRAPH / layout.FACTS).write_text(json.dumps(facts))
    agree(folder)
    return folder


def restore(sound: Path, target: Path) -> None:
    """Makes the damaged release sound again; what is new is removed, what is the same stays."""
    for path in sorted(target.rglob("*"), reverse=True):
        origin = sound / path.relative_to(target)
        if not origin.exists():
            path.unlink() if path.is_file() or path.is_symlink() else path.rmdir()
    for origin in sound.rglob("*"):
        path = target / origin.relative_to(sound)
        if origin.is_file() and (not path.is_file() or path.read_bytes() != origin.read_bytes()):
            path.parent.mkdir(exist_ok=True)
            shutil.copyfile(origin, path)


def _damage(target: Path, rng: Rng) -> tuple[str, str]:
    way = rng.random()
    if way < 0.55:
        name = DOCUMENTS[rng.integers(len(DOCUMENTS))]
        text, done = json_damage.damaged((target / name).read_text(), rng)
        (target / name).write_text(text, "utf-8", "surrogatepass")
    elif way < 0.85:
        name = TENSORS[rng.integers(len(TENSORS))]
        data, done = _tensors((target / name).read_bytes(), rng)
        (target / name).write_bytes(data)
    else:
        name = ("model.xml", "model.xml", "model.bin", layout.FACTS)[rng.integers(4)]
        path = target / GRAPH / name
        if name == layout.FACTS:
            text, done = json_damage.damaged(path.read_text(), rng)
            path.write_text(text, "utf-8", "surrogatepass")
        else:
            data, done = _graph(path.read_bytes(), rng) if name == "model.xml" else _numbers(path.read_bytes(), rng)
            path.write_bytes(data)
    if name == manifest.MANIFEST:
        return name, done
    with suppress(ValueError, TypeError):
        agree(target)
    return name, done


def _tensors(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """A safetensors file with another header, other numbers, or both tensors exchanged."""
    length = struct.unpack_from("<Q", data)[0]
    header, values = data[8 : 8 + length].decode(), data[8 + length :]
    way = rng.random()
    if way < 0.35:
        header, done = json_damage.damaged(header, rng)
        return struct.pack("<Q", len(header.encode("utf-8", "surrogatepass"))) + header.encode(
            "utf-8", "surrogatepass"
        ) + values, f"header, {done}"
    if way < 0.45:
        return struct.pack("<Q", mutation.extreme(8, rng, length)) + data[8:], "length of the header"
    if way < 0.55:
        return mutation.blind(data, rng)
    if way < 0.7:
        entries = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
        alike = [(a, b) for a in entries for b in entries if a < b and entries[a]["shape"] == entries[b]["shape"]]
        if alike:
            a, b = alike[rng.integers(len(alike))]
            found = json.loads(header)
            found[a], found[b] = found[b], found[a]
            text = json.dumps(found, separators=(",", ":")).encode()
            return struct.pack("<Q", len(text)) + text + values, "tensors exchanged"
    changed, done = _numbers(values, rng)
    return data[: 8 + length] + changed, done


def _numbers(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """Other numbers in a row of float32."""
    numbers = np.frombuffer(data[: len(data) // 4 * 4], "<f4").copy()
    at, n = int(rng.integers(len(numbers))), int(rng.choice([1, 10, 1000]))
    name = str(rng.choice(["nan", "inf", "huge", "zero", "noise", "negative", "tiny change"]))
    part = numbers[at : at + n]
    with np.errstate(all="ignore"):
        numbers[at : at + n] = {
            "nan": np.nan, "inf": -np.inf, "huge": 3e38, "zero": 0.0, "noise": rng.normal(0, 1, part.shape),
            "negative": -part, "tiny change": part * np.float32(1.0001),
        }[name]  # fmt: skip
    return numbers.tobytes() + data[len(numbers) * 4 :], f"numbers: {name}"


def _graph(data: bytes, rng: Rng) -> tuple[bytes, str]:
    """A model.xml with an attribute, an element or an operation changed."""
    if rng.random() < 0.2:
        return mutation.blind(data, rng)
    text = data.decode()
    parts = text.split('"')
    inside = list(range(1, len(parts), 2))
    at = inside[rng.integers(len(inside))]
    way = int(rng.integers(4))
    if way == 0:
        parts[at] = str(rng.choice(["0", "1", "-1", "99999999999", "2147483648", "", "x" * 70_000, "f16", "i4", "&x;"]))
        return '"'.join(parts).encode(), "an attribute"
    if way == 1:
        other = inside[rng.integers(len(inside))]
        parts[at], parts[other] = parts[other], parts[at]
        return '"'.join(parts).encode(), "attributes swapped"
    if way == 2:
        types = [i for i in inside if parts[i - 1].endswith(" type=")]
        at = types[rng.integers(len(types))]
        parts[at] = str(
            rng.choice(["ReLU", "Sigmoid", "Loop", "If", "ReadValue", "Reshape", "MaxPool", "Negative", "Abs", "Exp"])
        )
        return '"'.join(parts).encode(), "another operation"
    head = str(
        rng.choice(['<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>', "<?php ?>", "<rt_info/>", "<edges/>"])
    )
    cut = text.find("<layers>")
    return (text[:cut] + head + text[cut:]).encode(), "an element added"


class _Judge:
    """Reads a release as `zoo.load` does, and looks at what was accepted."""

    def __init__(self, wanted: np.ndarray, home: Path) -> None:
        self.wanted, self.home = wanted, home
        self.model: Any = None
        self.spec: Any = None

    def __call__(self, folder: Path, name: str, rng: Rng) -> str:
        try:
            found = read_release(folder)
            gate, record, metrics = found.gate, (found.trained_on, found.tested), found.evaluation
            self.documents(found, metrics)
            if name in ("model.xml", "model.bin", layout.FACTS):
                self.graph(folder, found)
            elif name not in (*TENSORS[3:], "metrics.json", "labels.json"):
                self.network(found)
            if gate is not None:
                self.gate(gate, found.spec.image_size)
            del record
        except (ZooError, FileNotFoundError) as error:
            if not str(error).isprintable() or len(str(error)) > 2_000:
                raise Wrong(f"no short line: {str(error)[:2500]!r}") from None
            return "refused"
        return "read"

    def documents(self, found: ReleaseFolder, metrics: Any) -> None:
        """All documents tell of one model, in finite numbers."""
        findings, k = found.spec.findings, len(found.spec.findings)
        members = [member.name for member in found.spec.members]
        for decision in (found.decision, *found.member_decisions.values()):
            _require(decision.findings == findings, f"findings of a decision: {decision.findings}")
            _require(len(decision.temperature) in (1, k), f"temperatures: {decision.temperature}")
            _require(
                all(np.isfinite(t) and t > 0 for t in decision.temperature), f"temperatures {decision.temperature}"
            )
            _require(decision.default in decision.operating_points, f"default {decision.default!r}")
            for point in decision.operating_points.values():
                _require(len(point.thresholds) == k, "number of thresholds")
                _require(all(t is None or 0 <= t <= 1 for t in point.thresholds), f"thresholds {point.thresholds}")
            odds = decision.log_odds(self.wanted[:, :k] if k <= self.wanted.shape[1] else np.zeros((1, k), np.float32))
            _require(np.isfinite(odds).all() or not all(decision.trained or (True,)), "log-odds that are not finite")
        _require({*found.member_decisions} <= {*members}, "decisions of members that are not there")
        _require(metrics is None or tuple(metrics.findings) == findings, "metrics of other findings")
        _require({*found.golden.logits} >= {"ensemble", *members}, "golden logits of members")

    def network(self, found: ReleaseFolder) -> None:
        """The weights are finite, and the logits of the golden images those that were released."""
        from zoo.core.errors import ReleaseError, WeightsError
        from zoo.models.weights.files import load_safetensors
        from zoo.release.build import build_model

        if self.spec != found.spec:
            self.model, self.spec = build_model(found), found.spec
        else:
            try:
                for member in self.model.members:
                    load_safetensors(member, found.folder / f"{member.name}.safetensors")
            except WeightsError as error:
                raise ReleaseError(str(error)) from None
        golden.check(found, self.model)
        for weight in self.model.weights:
            _require(np.isfinite(np.asarray(weight)).all(), f"{weight.path} is not finite")
        logits = golden.predict(self.model, golden.images(found.spec.image_size))
        self.compare(logits, golden.CPU_LIMIT)

    def graph(self, folder: Path, found: ReleaseFolder) -> None:
        from zoo.inference import starting

        runtime = starting.openvino(folder, found, None, "int8")
        self.compare(runtime.logits(golden.images(found.spec.image_size)), starting.INT8_SLACK)

    def compare(self, logits: np.ndarray, most: float) -> None:
        _require(np.isfinite(logits).all(), "logits that are not finite")
        _require(logits.shape == self.wanted.shape, f"logits of shape {logits.shape}")
        gap = float(np.abs(logits - self.wanted).max())
        _require(gap <= most, f"other logits in silence: {gap:.3g} off")

    def gate(self, gate: Any, size: int) -> None:
        verdict = gate.judge(golden.images(size)[0], (size, size))
        _require(verdict.quality in ("ok", "doubtful", "rejected", "unknown"), f"a verdict {verdict}")


def _require(holds: object, otherwise: str) -> None:
    if not holds:
        raise Wrong(otherwise)
