"""`zoo doctor`: what this installation has, what is missing, and the line that installs it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from zoo._version import __version__
from zoo.core import backend
from zoo.core.home import home, included, installed
from zoo.core.process import cores

DISTRIBUTION = "xrayslam-zoo"

#: What each extra is for. Backends are checked by themselves, since any build of one will do.
EXTRAS = {
    "train": "training",
    "report": "figures",
    "serve": "OpenVINO, ONNX Runtime and int8",
    "dicom": "DICOM files",
    "node": "a DICOM node",
    "api": "the HTTP service",
    "app": "the page",
    "parquet": "Parquet tables",
    "ray": "scoring on a cluster with Ray",
}

#: Seconds to wait for the Hub.
TIMEOUT = 5.0

State = Literal["ok", "missing", "wrong", "note"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `zoo doctor`.

    Attributes:
        name: What was looked at.
        state: "ok"; "note" for a fact without judgement; "missing" for what is not there and may not be needed; "wrong"
            for what stops the package from working.
        found: What was found.
        remedy: The line that helps, or "".

    Example:
        >>> Check("Python", "ok", "3.11.9").remedy
        ''
    """

    name: str
    state: State
    found: str
    remedy: str = ""


def examine(*, network: bool = True) -> list[Check]:
    """Looks at versions, backend, devices, extras, folders and the Hub.

    Imports the chosen backend. Tokens are looked for and never shown.

    Args:
        network: Also ask the Hub whether it answers, within 5 seconds.

    Returns:
        The checks, in the order in which they are shown.

    Example:
        >>> [check.name for check in examine(network=False)][:2]
        ['xrayslam-zoo', 'Python']
    """
    checks = [
        Check("xrayslam-zoo", "note", f"{__version__}, {Path(__file__).parents[1]}"),
        Check("Python", "note", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Check("Processors", "note", f"{cores()}"),
        *_backend(),
        *_extras(),
        *_folders(),
    ]
    return [*checks, _hub()] if network else checks


def healthy(checks: list[Check]) -> bool:
    """True if nothing stops the package from working.

    >>> healthy([Check("extra dicom", "missing", "pydicom")])
    True
    """
    return all(check.state != "wrong" for check in checks)


def as_text(checks: list[Check]) -> str:
    """The checks as lines of a terminal, each remedy under its check.

    >>> print(as_text([Check("Python", "note", "3.11.9")]))
      Python  3.11.9
    """
    marks = {"ok": "✓", "missing": "-", "wrong": "✗", "note": " "}
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{marks[check.state]} {check.name:<{width}}  {check.found}")
        if check.remedy:
            lines.append(f"  {'':<{width}}  {check.remedy}")
    return "\n".join(lines)


def _backend() -> Iterator[Check]:
    there = [name for name in backend.BACKENDS if _version(name)]
    if not there:
        remedy = f"pip install '{DISTRIBUTION}[cpu]'   (or [jax], or [tensorflow] for a GPU)"
        yield Check("Backend", "wrong", "none of TensorFlow, JAX and Torch is installed", remedy)
        return
    for name in there:
        yield Check(name, "note", _version(name))
    chosen = os.environ.get("KERAS_BACKEND", "")
    if chosen not in there:
        yield Check(
            "Backend", "wrong", f"KERAS_BACKEND={chosen!r} is not installed", f"export KERAS_BACKEND={there[0]}"
        )
        return
    try:
        import keras

        yield Check("Keras", "ok", f"{keras.__version__} on {chosen}")
        yield Check("Devices", "ok", ", ".join(keras.distribution.list_devices()))
    except Exception as error:  # noqa: BLE001 - whatever a broken installation raises is what has to be shown
        text = " ".join(f"{type(error).__name__}: {error}".split())
        yield Check("Keras", "wrong", f"does not start on {chosen}: {text[:300]}")


def _extras() -> Iterator[Check]:
    try:
        metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        yield Check("Extras", "note", "unknown: the package runs from its source and is not installed")
        return
    for extra, purpose in EXTRAS.items():
        lacking = sorted(set(_lacking(extra)))
        name = f"[{extra}]"
        if lacking:
            remedy = f"pip install '{DISTRIBUTION}[{extra}]'"
            yield Check(name, "missing", f"{purpose}: without {', '.join(lacking)}", remedy)
        else:
            yield Check(name, "ok", purpose)


def _lacking(extra: str) -> Iterator[str]:
    """What an extra asks for and is absent, or of a version that it does not take."""
    from packaging.requirements import Requirement

    for text in metadata.requires(DISTRIBUTION) or ():
        requirement = Requirement(text)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": ""}) or not marker.evaluate({"extra": extra}):
            continue
        if requirement.name == DISTRIBUTION:
            for inner in requirement.extras:
                yield from _lacking(inner)
            continue
        version = _distribution_version(requirement.name)
        if not version:
            yield requirement.name
        elif not requirement.specifier.contains(version, prereleases=True):
            yield f"{requirement.name} {version} ({requirement.specifier} is asked for)"


def _distribution_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _version(module: str) -> str:
    """Version of whatever distribution brings a module, such as tensorflow or tensorflow_cpu; "" if there is none."""
    from importlib.util import find_spec

    if find_spec(module) is None:
        return ""
    names = metadata.packages_distributions().get(module, ())
    return next((version for name in names if (version := _distribution_version(name))), "of unknown version")


def _folders() -> Iterator[Check]:
    folder = home()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = f"{shutil.disk_usage(nearest).free / 1e9:.0f} GB free"
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        remedy = "export ZOO_HOME=/a/folder/that/you/may/write"
        yield Check("ZOO_HOME", "wrong", f"{folder}: {nearest} is not a folder that can be written", remedy)
    else:
        yield Check("ZOO_HOME", "ok", f"{folder} ({free})")
    names = ", ".join([*included(), *installed()])
    yield Check("Models", "note", f"{names or 'none'}; more: zoo list --catalog")


def _hub() -> Check:
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    from huggingface_hub import constants, get_token

    token = "a token is set" if get_token() else "no token (only publishing needs one)"
    if constants.HF_HUB_OFFLINE:
        return Check("Hub", "note", f"HF_HUB_OFFLINE is set: only what is in the cache; {token}")
    try:
        urlopen(Request(constants.ENDPOINT, method="HEAD"), timeout=TIMEOUT).close()
    except HTTPError:  # an answer all the same
        pass
    except (OSError, ValueError) as error:
        found = f"no answer from {constants.ENDPOINT} ({type(error).__name__}); {token}"
        return Check("Hub", "missing", found, "models that are included, installed or cached work without it")
    return Check("Hub", "ok", f"{constants.ENDPOINT} answers; {token}")
