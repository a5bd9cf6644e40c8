"""Completion in shells: `zoo completion`, by argcomplete."""

from __future__ import annotations

import argparse
import os
from typing import Any

from zoo.cli.command import command

#: Arguments that take the name of a model.
_MODELS = ("model", "name", "source", "release", "a", "b")


def add(commands: Any) -> None:
    """Adds the subcommand."""
    sub = command(commands, "completion", _completion, "print the script that completes commands in your shell")
    sub.epilog = "Put the line of the example into ~/.bashrc or ~/.zshrc; fish: zoo completion fish | source"
    sub.add_argument("shell", choices=("bash", "zsh", "fish", "powershell"), help="your shell")


def answer(top: argparse.ArgumentParser) -> None:
    """Tells a shell what could come next, and ends the process; returns at once if no shell asks."""
    if "_ARGCOMPLETE" not in os.environ:
        return
    import argcomplete

    argcomplete.autocomplete(top, default_completer=_values)  # type: ignore[arg-type]  # a function will do


def _values(prefix: str, action: argparse.Action, **_: Any) -> list[str]:
    """Names of models where the argument takes one, and paths."""
    from argcomplete.completers import FilesCompleter

    from zoo.names import registry

    takes_model = action.dest in _MODELS and (not action.option_strings or "--model" in action.option_strings)
    names = registry.list_models(f"{prefix}*", "ensemble") if takes_model else []
    return [*names, *FilesCompleter()(prefix)]


def _completion(options: argparse.Namespace) -> None:
    import argcomplete

    print(argcomplete.shellcode(["zoo"], shell=options.shell))
