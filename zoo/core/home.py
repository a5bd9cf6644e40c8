"""Folders of the zoo: `ZOO_HOME` (by default `~/.zoo`), and what comes with the package."""

from __future__ import annotations

import os
import re
from pathlib import Path

from zoo.core.errors import UsageError
from zoo.core.exchange import recover_inside

#: The folder of the package itself.
PACKAGE = Path(__file__).parents[1]

#: Folder of what comes with the package and is read where it lies: releases, a folder each, and example images.
INCLUDED = PACKAGE / "included"

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def home() -> Path:
    """The folder for everything that the zoo stores, as an absolute path; it is created when something is stored.

    >>> home().is_absolute()
    True
    """
    return Path(os.environ.get("ZOO_HOME") or Path.home() / ".zoo").expanduser().absolute()


def release_dir(name: str) -> Path:
    """The folder of a release installed as `name`.

    Raises:
        UsageError: `name` has other characters than letters, digits, dot, dash and underscore.

    >>> release_dir("my-model").name
    'my-model'
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise UsageError(f"a model name has letters, digits, '.', '_' and '-' (at most 96), got {name!r}")
    return home() / "releases" / name


def installed() -> list[str]:
    """Names of the installed releases, sorted."""
    folder = home() / "releases"
    recover_inside(folder)  # finishes installations that were interrupted
    return sorted(p.name for p in folder.iterdir() if (p / "config.json").is_file()) if folder.is_dir() else []


def included() -> list[str]:
    """Names of the releases that come with the package, sorted; none if it was built without them.

    >>> all((INCLUDED / name).is_dir() for name in included())
    True
    """
    return sorted(p.name for p in INCLUDED.iterdir() if (p / "config.json").is_file()) if INCLUDED.is_dir() else []


def find_release(name: str) -> Path | None:
    """Returns the folder of the release installed as `name`, else of the one that comes with the package, else None."""
    if name in installed():
        return release_dir(name)
    return INCLUDED / name if name in included() else None


def example_images() -> list[Path]:
    """Returns the paths of the example images in the package: real frontal chest X-rays, grey JPEG, 320 px.

    They are from NIH ChestX-ray14 (Wang et al. 2017; NIH Clinical Center) and belong to the test part of "nih-lite": no
    weight or threshold of that model was fitted on them. `SOURCE.md` beside them gives NIH's labels.

    Example:
        >>> all(path.suffix == ".jpg" for path in example_images())
        True
    """
    return sorted((INCLUDED / "images").glob("*.jpg"))


def shipped(folder: str) -> Path:
    """The folder `recipes` or `hub_cards`: inside an installed package, beside it in a checkout.

    >>> shipped("recipes").name
    'recipes'
    """
    installed = PACKAGE / folder
    return installed if installed.is_dir() else PACKAGE.parent / folder
