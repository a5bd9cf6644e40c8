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

    for sub in _subparsers(top):
        for action in sub._actions:
            if (not action.option_strings and action.dest in _MODELS) or "--model" in action.option_strings:
                action.completer = _models  # type: ignore[attr-defined]
    argcomplete.autocomplete(top)


def _subparsers(top: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    found = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    return list(found.choices.values())


def _models(prefix: str, **_: Any) -> list[str]:
    """Names of models, and paths of releases."""
    from argcomplete.completers import FilesCompleter

    from zoo.names import registry

    return [*registry.list_models(f"{prefix}*", "ensemble"), *FilesCompleter()(prefix)]


def _completion(options: argparse.Namespace) -> None:
    import argcomplete

    print(argcomplete.shellcode(["zoo"], shell=options.shell))
