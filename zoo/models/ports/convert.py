"""Converts the tensors of a published weights file to the variables of our networks, strictly: each tensor is used."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from zoo.config.pixels import NAMED
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.core.errors import WeightsError
from zoo.models import architectures
from zoo.models.ports.kinds import ALWAYS_IGNORED, PORTS, Port, get

_SHOWN = 4


@dataclass(frozen=True)
class Ported:
    """A converted network.

    Attributes:
        port: The kind of file it was.
        member: Specification of the member that holds the weights.
        findings: Names of the outputs; () for a network without a classifier.
        weights: Name in a safetensors file of the zoo -> value.
        unused: Names of the tensors that were left out on purpose.
        untrained: The findings whose outputs no data trained.
    """

    port: Port
    member: MemberSpec
    findings: tuple[str, ...]
    weights: Mapping[str, np.ndarray]
    unused: tuple[str, ...]
    untrained: tuple[str, ...] = ()

    def spec(self, name: str) -> EnsembleSpec:
        """The specification of an ensemble of this one member.

        Raises:
            WeightsError: The network has no classifier.
        """
        if not self.findings:
            raise WeightsError(
                f"weights of kind {self.port.name!r} have no classifier, so they are no model of findings: "
                "start a member from them (weights=...), or embed with them"
            )
        return EnsembleSpec(name, (self.member,), self.port.image_size, self.findings, untrained=self.untrained)


def convert(
    tensors: Mapping[str, np.ndarray], kind: str | None = None, findings: Sequence[str] | None = None
) -> Ported:
    """Converts tensors by the rows of `zoo.models.ports.kinds`.

    Args:
        tensors: Name -> value, as in the file.
        kind: Name of a kind; by default it is found from the names and shapes of the tensors.
        findings: Names of the outputs in order; by default those of the kind. "" stands for an output that no data
            trained, which keeps the name that the kind gives it.

    Raises:
        WeightsError: The kind is unknown or ambiguous; a tensor is missing, is not used, or has a value that is NaN or
            infinite; or the number of outputs is another one than that of the findings.
        UnknownNameError: There is no such kind.
    """
    port = recognise(tensors) if kind is None else get(kind)
    prefix = _prefix(port, tensors)
    if prefix is None:
        raise WeightsError(f"these are no weights of kind {port.name!r}: {_lacking(port, tensors)}")
    inside = {_renamed(name.removeprefix(prefix), port): name for name in tensors if name.startswith(prefix)}
    if twice := [name for name, n in Counter(_renamed(t, port) for t in tensors).items() if n > 1]:
        raise WeightsError(f"weights of kind {port.name!r} hold {len(twice)} tensors twice: {_some(twice)}")
    named = {short: tensors[name] for short, name in inside.items()}
    rows = import_module(f"zoo.models.ports.{port.module}").variables(port, named)
    _require_present([name for row in rows for name in row.theirs], named, port)
    weights = {row.ours: np.ascontiguousarray(row.make(*(named[name] for name in row.theirs))) for row in rows}
    used = {inside[name] for row in rows for name in row.theirs}
    unused = tuple(name for name in tensors if name not in used)
    _require_ignored(unused, prefix, port)
    _require_finite(weights, port)
    outputs, untrained = _findings(port, named, findings)
    usual = architectures.get(port.backbone).preprocessing == port.pixels
    member = MemberSpec(port.backbone, port.head or "gap", pixels=None if usual else NAMED[port.pixels])
    return Ported(port, member, outputs, weights, unused, untrained)


def recognise(tensors: Mapping[str, np.ndarray]) -> Port:
    """Returns the one kind whose signs are all among the tensors.

    Raises:
        WeightsError: No kind fits, or several do; the message shows what was found.
    """
    fitting = [port for port in PORTS.values() if _prefix(port, tensors) is not None]
    if len(fitting) == 1:
        return fitting[0]
    shown = _some([f"{name} {tuple(value.shape)}" for name, value in tensors.items()])
    if not fitting:
        raise WeightsError(
            f"unknown kind of weights: {len(tensors)} tensors, {shown}; known kinds: {', '.join(PORTS)} (see --kind)"
        )
    raise WeightsError(
        f"ambiguous weights: {len(tensors)} tensors, {shown}, could be of the kinds "
        f"{', '.join(port.name for port in fitting)}: choose one with --kind"
    )


def _prefix(port: Port, tensors: Mapping[str, np.ndarray]) -> str | None:
    """What stands before all tensor names of this kind, or None if the file is of another kind."""
    shapes = {_renamed(name, port): value.shape for name, value in tensors.items()}
    ends = [name for name in shapes if name == port.anchor or name.endswith(f".{port.anchor}")]
    prefixes = [name.removesuffix(port.anchor) for name in ends]
    fitting = [p for p in prefixes if all(_fits(shapes.get(p + name), shape) for name, shape in port.signs.items())]
    return fitting[0] if len(fitting) == 1 else None


def _fits(found: tuple[int, ...] | None, wanted: tuple[int | None, ...]) -> bool:
    return (
        found is not None
        and len(found) == len(wanted)
        and all(b in (None, a) for a, b in zip(found, wanted, strict=True))
    )


def _lacking(port: Port, tensors: Mapping[str, np.ndarray]) -> str:
    signs = ", ".join(f"{name} {tuple('any' if n is None else n for n in shape)}" for name, shape in port.signs.items())
    shown = _some([f"{name} {tuple(value.shape)}" for name, value in tensors.items()])
    return f"they have {signs}, the file has {len(tensors)} tensors, {shown}"


def _renamed(name: str, port: Port) -> str:
    for pattern, replacement in port.renames:
        name = re.sub(pattern, replacement, name)
    return name


def _require_present(wanted: Iterable[str], named: Mapping[str, np.ndarray], port: Port) -> None:
    if missing := [name for name in dict.fromkeys(wanted) if name not in named]:
        raise WeightsError(f"weights of kind {port.name!r} are incomplete: {len(missing)} missing, {_some(missing)}")


def _require_ignored(unused: Sequence[str], prefix: str, port: Port) -> None:
    patterns = (*ALWAYS_IGNORED, *port.ignored)
    known = {name for name in unused for p in patterns if re.fullmatch(p, name.removeprefix(prefix))}
    if extra := [name for name in unused if name not in known]:
        raise WeightsError(
            f"weights of kind {port.name!r} hold {len(extra)} tensors that this network does not have: {_some(extra)}"
        )


def _require_finite(weights: Mapping[str, np.ndarray], port: Port) -> None:
    if wrong := [name for name, value in weights.items() if not np.isfinite(value).all()]:
        raise WeightsError(f"weights of kind {port.name!r} hold values that are NaN or infinite: {_some(wrong)}")


def _findings(
    port: Port, named: Mapping[str, np.ndarray], given: Sequence[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the outputs, and those among them that no data trained."""
    if not port.classifier:
        return (), ()
    outputs = int(named[port.classifier].shape[-1 if port.classifier.endswith("/kernel") else 0])
    names = port.findings if given is None else tuple(given)
    if names is None:
        raise WeightsError(f"{outputs} outputs without names: give them with --findings A,B,... in this order")
    if len(names) != outputs:
        raise WeightsError(f"weights of kind {port.name!r} have {outputs} outputs, the findings are {len(names)}")
    usual = port.findings if port.findings is not None and len(port.findings) == outputs else ("",) * outputs
    full = tuple(name or known or f"output {i}" for i, (name, known) in enumerate(zip(names, usual, strict=True), 1))
    return full, tuple(known for name, known in zip(names, full, strict=True) if not name)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
