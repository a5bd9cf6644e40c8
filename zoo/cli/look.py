"""Looking around: `zoo list`, `zoo info`."""

from __future__ import annotations

import argparse
from typing import Any

from zoo.cli.command import command


def add(commands: Any) -> None:
    """Adds the subcommands."""
    sub = command(commands, "list", _list, "names of models")
    sub.add_argument("pattern", nargs="?", default="*")
    sub.add_argument("--kind", choices=("ensemble", "backbone"))
    sub = command(commands, "info", _info, "what is known of a model")
    sub.add_argument("name")


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
