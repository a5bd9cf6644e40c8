"""Verifies a release: every statement in its files is tested on this machine with the active backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError

from zoo.release import checks, manifest
from zoo.release.checks import Subject
from zoo.release.folder import ReleaseFolder

#: Check -> the checks that it depends on, and its function. The line that it returns is shown.
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
    "trained on": (("manifest",), checks.check_trained_on),
    "gate": (("manifest",), checks.check_gate),
    "tested": (("manifest",), checks.check_tested),
    "metrics": (("config",), checks.check_metrics),
    "split": (("decision",), checks.check_split),
    "card": (("manifest",), checks.check_card),
}


@dataclass(frozen=True)
class Check:
    """Result of one check.

    Attributes:
        name: Name of the check.
        ok: Whether it succeeded.
        detail: One line on what was found and, on failure, what was expected.
    """

    name: str
    ok: bool
    detail: str


def verify(
    folder: str | Path, members: Sequence[str] | None = None, *, root: Path | None = None, source: str = ""
) -> list[Check]:
    """Checks everything in a release that can be checked without its training data; builds and runs the network.

    Args:
        folder: Path of the release.
        members: Names of the members whose weights are checked; all by default.
        root: Folder that links may lead to; the release folder by default.
        source: Hub reference of the release.

    Returns:
        One `Check` per line, always the same checks in the same order. A check that depends on a failed one also fails
        and says so; the others are still made.

    Raises:
        FileNotFoundError: The folder does not exist.

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
        # Includes the zoo's own errors; Keras raises plain ones for a network that it cannot build.
        return Check(name, False, manifest.plain(checks.one_line(subject, error)))
