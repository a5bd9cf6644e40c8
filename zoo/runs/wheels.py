"""`zoo kaggle wheels`: a data set of wheels and starting weights, so that a Kaggle session works without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

from zoo._version import __version__
from zoo.core.errors import HubError, UsageError
from zoo.core.files import whole_folder, write_json
from zoo.core.home import PACKAGE
from zoo.core.progress import Progress

#: Python of Kaggle's image (see `kaggle_packages.txt`).
PYTHON = "3.12"

#: glibc of Ubuntu 22.04, on which Kaggle's image is built, is 2.35; pip takes no "or older" for these tags.
_PLATFORMS = (*(f"manylinux_2_{minor}_x86_64" for minor in range(35, 16, -1)), "manylinux2014_x86_64", "linux_x86_64")

_TITLE = (6, 50)

#: Distribution name -> version.
Versions: TypeAlias = Mapping[str, str]


@dataclass(frozen=True)
class WheelSet:
    """What a data set of wheels holds.

    Attributes:
        folder: Its folder.
        wheels: Distribution -> version of each wheel in it.
        left_out: Distribution -> version of what is required and already there on Kaggle.
        replaced: Distribution -> the version on Kaggle that is too old (or too new), for those among `wheels`.
        weights: Files and folders of starting weights, relative to `folder`.
    """

    folder: Path
    wheels: Versions
    left_out: Versions
    replaced: Versions
    weights: tuple[str, ...]


def write_wheels(
    folder: Path,
    progress: Progress,
    *,
    wheel: Path | None = None,
    extras: Sequence[str] = (),
    python: str = PYTHON,
    installed: Path | None = None,
    recipes: Sequence[str] = (),
    owner: str = "",
) -> WheelSet:
    """Writes a folder for `kaggle datasets create`: wheels, starting weights, `dataset-metadata.json`.

    pip resolves what the package requires for Kaggle's Python and platform, and downloads what is not there in a
    version that does.

    Args:
        folder: The folder; an earlier data set in it is replaced.
        progress: Receives messages.
        wheel: Wheel of this package; by default pip looks for the running version in the package index.
        extras: Extras of this package to include, such as "dicom".
        python: Version of Python on Kaggle.
        installed: List of what is installed there, as `pip freeze` prints it; by default `kaggle_packages.txt`.
        recipes: Recipes whose starting weights are added: names, or paths of recipe files.
        owner: Name of the Kaggle account, for `dataset-metadata.json`.

    Raises:
        UsageError: The folder holds other files, pip is missing, or an argument is not understood.
        HubError: pip finds no wheel for a requirement, or cannot download it.
        WeightsError: The weights of a recipe cannot be obtained.

    Example:
        >>> from zoo.core.progress import Silent
        >>> write_wheels(Path("unwritten"), Silent(), wheel=Path("missing.whl"))
        Traceback (most recent call last):
        zoo.core.errors.UsageError: missing.whl: no such wheel; `pip wheel --no-deps .` in a checkout writes one
    """
    _check(folder, wheel, python)
    has = read_freeze(installed or PACKAGE / "runs" / "kaggle_packages.txt")
    root = f"{wheel.absolute() if wheel else 'xrayslam-zoo'}{'[' + ','.join(extras) + ']' if extras else ''}"
    progress.message(f"asking pip what xrayslam-zoo requires on Python {python}")
    found = _resolve(root if wheel else f"{root}=={__version__}", python)
    needed = _needed(found, has, extras, python)
    if unseen := [name for name in needed if name not in found]:
        # pip reads markers such as python_version < '3.13' for the Python that runs it.
        raise HubError(f"pip did not look for {', '.join(unseen)}: run this command on Python {python}")
    wheels = {name: found[name].version for name in needed}
    with whole_folder(folder) as new:
        _download({name: version for name, version in wheels.items() if not (wheel and name == _OWN)}, new, python)
        if wheel:
            shutil.copy2(wheel, new)
        weights = tuple(path for recipe in recipes for path in _add_weights(recipe, new, progress))
        _describe(new, owner)
    return WheelSet(
        folder,
        wheels,
        left_out={name: has[name] for name in found if name in has and name not in wheels},
        replaced={name: has[name] for name in wheels if name in has},
        weights=weights,
    )


def read_freeze(path: Path) -> dict[str, str]:
    """Reads a list such as `pip freeze` prints: canonical name -> version; lines without "==" are left out.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "list.txt").write_text("# a comment\\nml_dtypes==0.5.4\\ntorch @ file:///x\\n")
    ...     read_freeze(Path(folder, "list.txt"))
    {'ml-dtypes': '0.5.4'}
    """
    lines = (line.partition("#")[0].strip().partition("==") for line in path.read_text("utf-8").splitlines())
    found = {_canonical(name): version.partition("+")[0] for name, equals, version in lines if equals}
    if not found:
        raise UsageError(f"{path}: expected lines such as 'numpy==2.0.2', as pip freeze prints them, found none")
    return found


@dataclass(frozen=True)
class _Resolved:
    """A distribution as pip resolved it: its version and its requirements in the form of PEP 508."""

    version: str
    requires: tuple[str, ...]


_OWN = "xrayslam-zoo"


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def _check(folder: Path, wheel: Path | None, python: str) -> None:
    if wheel and not wheel.is_file():
        raise UsageError(f"{wheel}: no such wheel; `pip wheel --no-deps .` in a checkout writes one")
    if not re.fullmatch(r"3\.\d+", python):
        raise UsageError(f"python: expected a version such as {PYTHON}, got {python!r}")
    if find_spec("pip") is None:
        raise UsageError("pip is not installed in this environment, and resolves what is needed: python -m ensurepip")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "dataset-metadata.json").is_file():
        raise UsageError(f"{folder} holds other files, and would be replaced: give another folder")


def _resolve(requirement: str, python: str) -> dict[str, _Resolved]:
    """Everything that a requirement needs on an empty machine of Kaggle's kind."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        _pip(
            ["install", "--dry-run", "--ignore-installed", "--report", str(report), "--target", scratch],
            [requirement],
            python,
        )
        items = json.loads(report.read_text("utf-8"))["install"]
    facts = [item["metadata"] for item in items]
    return {_canonical(f["name"]): _Resolved(f["version"], tuple(f.get("requires_dist") or ())) for f in facts}


def _needed(found: Mapping[str, _Resolved], has: Versions, extras: Sequence[str], python: str) -> list[str]:
    """The distributions to download: those that are not on Kaggle in a version that all who require it accept.

    What a distribution that stays requires is there already, so only those that are downloaded are followed.
    """
    taken: dict[str, None] = {_OWN: None}
    waiting = [(_OWN, extra) for extra in ("", *extras)]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop(0)
        for other, wanted_extras, fits in _requirements(found[name], extra, has, python):
            if not fits:
                taken[other] = None
            pairs = [(other, e) for e in (("", *wanted_extras) if other in taken else wanted_extras)]
            fresh = [pair for pair in pairs if pair not in seen and other in found]
            seen |= set(fresh)
            waiting += fresh
    return list(taken)


def _requirements(
    resolved: _Resolved, extra: str, has: Versions, python: str
) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Name and extras of each requirement under an extra ("" for none), and whether the version on Kaggle fits."""
    from packaging.requirements import Requirement

    there = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux"}
    there |= {"platform_system": "Linux", "platform_machine": "x86_64", "os_name": "posix"}
    for text in resolved.requires:
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate({**there, "extra": extra}):
            continue
        name = _canonical(wanted.name)
        fits = name in has and wanted.specifier.contains(has[name], prereleases=True)
        yield name, tuple(sorted(wanted.extras)), fits


def _download(wheels: Versions, folder: Path, python: str) -> None:
    if wheels:
        pinned = [f"{name}=={version}" for name, version in wheels.items()]
        _pip(["download", "--no-deps", "--dest", str(folder)], pinned, python)


def _pip(command: Sequence[str], requirements: Sequence[str], python: str) -> None:
    """Runs pip for Kaggle's Python and platform, whatever runs here."""
    target = ["--only-binary=:all:", "--implementation", "cp", "--python-version", python]
    target += [word for platform in _PLATFORMS for word in ("--platform", platform)]
    line = [sys.executable, "-m", "pip", *command, "--quiet", "--disable-pip-version-check", *target, *requirements]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode:
        errors = [text for text in done.stderr.splitlines() if text.startswith("ERROR")] or [done.stderr[-500:]]
        hint = "" if requirements[0].endswith(".whl") else "; a wheel of this package is given as --wheel FILE"
        raise HubError(f"pip {command[0]} failed: {' '.join(errors[0].split())}{hint}")


def _add_weights(recipe: str, folder: Path, progress: Progress) -> Iterator[str]:
    """Copies what the members of a recipe start from: `pretrained/FILE` of ImageNet, `releases/NAME` of others."""
    from zoo.models.architectures import ARCHITECTURES
    from zoo.models.weights.pretrained import fetch_imagenet
    from zoo.names.porting import is_known, obtain
    from zoo.training.recipe import load_recipe

    for member in load_recipe(recipe).ensemble.members:
        start = member.weights or ""
        if start == "imagenet":
            progress.message(f"{recipe}: {member.name} starts from ImageNet weights")
            file = fetch_imagenet(ARCHITECTURES[member.backbone])
            (folder / "pretrained").mkdir(exist_ok=True)
            shutil.copy2(file, folder / "pretrained" / file.name)
            yield f"pretrained/{file.name}"
        elif is_known(start):
            progress.message(f"{recipe}: {member.name} starts from {start}")
            shutil.copytree(obtain(start), folder / "releases" / start, dirs_exist_ok=True)
            yield f"releases/{start}"
        elif start:
            progress.message(
                f"{recipe}: {member.name} starts from the file {start}: attach it to the notebook yourself"
            )


def _describe(folder: Path, owner: str) -> None:
    """Writes what `kaggle datasets create` asks for; the licences are those of the wheels, each its own."""
    title = f"xrayslam-zoo {__version__} wheels"[: _TITLE[1]]
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower())
    facts = {"title": title, "id": f"{owner or 'YOUR-KAGGLE-NAME'}/{slug}", "licenses": [{"name": "other"}]}
    write_json(folder / "dataset-metadata.json", facts)
