"""Verifying a release: every statement of its files is tried on this machine, on the backend that runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from zoo.release import checks, manifest
from zoo.release.checks import Subject
from zoo.release.folder import ReleaseFolder

#: Check -> the checks that it builds on, and how it is made. What it finds stands in its line.
_CHECKS: Mapping[str, tuple[tuple[str, ...], Callable[[Subject], str]]] = {
    "manifest": ((), checks.check_manifest),
    "files": (("manifest",), checks.check_files),
    "schemas": ((), checks.check_schemas),
    "config": (("manifest",), checks.check_config),
    "decision": (("config",), checks.check_decision),
    "parameters": (("config",), checks.check_parameters),
    "weights": (("parameters",), checks.check_weights),
    "parity": (("weights",), checks.check_parity),
    "exports": (("config",), checks.check_exports),
    "metrics": (("config",), checks.check_metrics),
    "split": (("decision",), checks.check_split),
    "card": (("manifest",), checks.check_card),
}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What.
        ok: Whether it is as it should be.
        detail: One line: what was found, and where it is wrong what would be right.
    """

    name: str
    ok: bool
    detail: str


def verify(
    folder: str | Path, members: Sequence[str] | None = None, *, root: Path | None = None, source: str = ""
) -> list[Check]:
    """Checks all of a release that can be checked without its training data; builds the network and runs it.

    Args:
        folder: The release.
        members: Names of the members whose weights are looked at; all by default.
        root: Where links in the folder may lead to; the folder itself by default.
        source: Where it was pulled from.

    Returns:
        One `Check` a line, always the same ones in the same order. What needs a part that failed is not ok, and says
        so; the others are made all the same.

    Raises:
        FileNotFoundError: No such folder.

    Example:
        >>> [check.name for check in verify("release") if not check.ok]  # doctest: +SKIP
        []
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"no release folder at {folder}")
    subject = Subject(ReleaseFolder(folder, root, source), members)
    done: dict[str, Check] = {}
    for name, (needs, function) in _CHECKS.items():
        failed = [need for need in needs if not done[need].ok]
        done[name] = (
            Check(name, False, f"not checked, since {failed[0]!r} failed") if failed else _run(name, function, subject)
        )
    return list(done.values())


def _run(name: str, function: Callable[[Subject], str], subject: Subject) -> Check:
    try:
        return Check(name, True, manifest.plain(function(subject)))
    except (ValueError, KeyError, TypeError, OSError, SafetensorError) as error:
        # Our own errors are among these; Keras raises plain ones for a network that it cannot build.
        return Check(name, False, manifest.plain(checks.one_line(subject, error)))
