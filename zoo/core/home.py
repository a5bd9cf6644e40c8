"""Folders of the zoo: releases and caches in `ZOO_HOME` (by default `~/.zoo`), recipes and cards with the package."""

from __future__ import annotations

import os
import re
from pathlib import Path

from zoo.core.errors import UsageError
from zoo.core.exchange import recover_inside

#: The folder of the package itself.
PACKAGE = Path(__file__).parents[1]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


def home() -> Path:
    """The folder for everything that the zoo stores; it is created when something is stored.

    >>> home().is_absolute()
    True
    """
    return Path(os.environ.get("ZOO_HOME") or Path.home() / ".zoo").expanduser()


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


def shipped(folder: str) -> Path:
    """The folder `recipes` or `hub_cards`: inside an installed package, beside it in a checkout.

    >>> shipped("recipes").name
    'recipes'
    """
    installed = PACKAGE / folder
    return installed if installed.is_dir() else PACKAGE.parent / folder
