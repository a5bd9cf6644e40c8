"""`ported-ensemble`: the mean, finding by finding, of the published networks that give it, as one ordinary release."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.core import home
from zoo.labels.findings import FINDINGS, NIH
from zoo.release.documents import PortFacts
from zoo.release.folder import ReleaseFolder
from zoo.release.port import write_port

NAME = "ported-ensemble"

#: The members, names of `zoo.names.published`; all take 224 px.
MEMBERS = ("xrv-densenet121-all", "xrv-densenet121-chex", "xrv-densenet121-mimic_ch", "medmae-densenet121-nih",
           "chexnet-jrzech")  # fmt: skip

SUMMARY = "the mean, finding by finding, of five published DenseNet121 at 224 px, on the 14 findings"


def build(releases: Mapping[str, ReleaseFolder]) -> Path:
    """Writes and installs the ensemble of these releases, each of one member.

    The outputs of each member are put in the columns of the 14 findings by the names of their label schemas
    (NIH's "Effusion" is "Pleural Effusion"; debatable pairs such as Mass and Lung Lesion are not made). Each member
    speaks with equal weight for the findings that it gives, and with none for the others.

    Args:
        releases: Name -> release.
    """
    from safetensors.numpy import load_file

    members, rows, weights = [], [], {}
    for name, found in releases.items():
        (member,) = found.spec.members
        source = load_file(found.folder / f"{member.name}.safetensors")
        columns = crossed(found.spec)
        members.append(dataclasses.replace(member, alias=name))
        rows.append(tuple(float(column is not None) for column in columns))
        heads = {key: _head(source[key], columns) for key in ("head/kernel", "head/bias")}
        weights[name] = {**source, **heads}
    silent = tuple(f for f, column in zip(FINDINGS, zip(*rows, strict=True), strict=True) if not sum(column))
    size = next(iter(releases.values())).spec.image_size
    spec = EnsembleSpec(NAME, tuple(members), size, FINDINGS, tuple(rows), silent)
    return write_port(home.release_dir(NAME), spec, weights, _facts(releases))


def crossed(spec: EnsembleSpec) -> tuple[int | None, ...]:
    """The column of a model that gives each of the 14 findings; None where none does, or where it is not trained.

    >>> from zoo.config.specs import MemberSpec
    >>> crossed(EnsembleSpec("x", (MemberSpec("tiny"),), 32, ("Effusion", "Mass", "Edema"), untrained=("Edema",)))[9]
    0
    """
    given = {translated(name): i for i, name in enumerate(spec.findings) if name not in spec.untrained}
    return tuple(given.get(finding) for finding in FINDINGS)


def translated(name: str) -> str | None:
    """The finding of the 14 that a label of a port means, or None.

    >>> translated("Effusion"), translated("Fracture"), translated("Mass")
    ('Pleural Effusion', 'Fracture', None)
    """
    return NIH.translate(name)


def _head(values: np.ndarray, columns: tuple[int | None, ...]) -> np.ndarray:
    """Kernel (features, outputs) or bias (outputs,) with the columns of the 14 findings, 0 where there is none."""
    made = np.zeros((*values.shape[:-1], len(columns)), values.dtype)
    for i, column in enumerate(columns):
        if column is not None:
            made[..., i] = values[..., column]
    return made


def _facts(releases: Mapping[str, ReleaseFolder]) -> PortFacts:
    held = {name: found.listing.provenance.port or PortFacts() for name, found in releases.items()}
    licences = dict.fromkeys(facts.licence for facts in held.values())
    notes = tuple(f"{name}: {facts.origin}, {facts.licence}, SHA-256 {facts.sha256}" for name, facts in held.items())
    return PortFacts(
        origin="the authors of its members",
        kind=NAME,
        licence=next(iter(licences)) if len(licences) == 1 else "unknown" if "unknown" in licences else "other",
        data="; ".join(f"{name}: {facts.data}" for name, facts in held.items()),
        citation="\n".join(dict.fromkeys(facts.citation for facts in held.values())),
        unverified=(
            "The mean: nobody is known to have measured this combination. Its probabilities are those of the mean of "
            "logits that were never calibrated together.",
            *dict.fromkeys(line for facts in held.values() for line in facts.unverified),
        ),
        notes=notes,
    )
