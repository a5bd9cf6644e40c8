"""Listing models: `zoo list`, `zoo info`."""

from __future__ import annotations

import argparse
from typing import Any

from zoo.cli.command import command


def add(commands: Any) -> None:
    """Adds the subcommands."""
    sub = command(commands, "list", _list, "list the names of models")
    sub.add_argument("pattern", nargs="?", default="*", help="show matching names only, such as 'xrayslam*'")
    sub.add_argument("--kind", choices=("ensemble", "backbone"), help="show one kind of model only")
    sub = command(commands, "info", _info, "show the properties of a model")
    sub.add_argument("name", help="name of a model")


def _list(options: argparse.Namespace) -> None:
    from zoo.names import registry

    for name in registry.list_models(options.pattern, options.kind):
        print(name)


def _info(options: argparse.Namespace) -> None:
    import dataclasses

    from zoo.names import registry

    for key, value in dataclasses.asdict(registry.info(options.name)).items():
        if value not in ("", (), None, 0):
            print(f"{key:>14}  {', '.join(value) if isinstance(value, tuple) else value}")
