"""The command line: each subcommand a thin call. The only package that prints."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from zoo._version import __version__
from zoo.cli import judge, look, make, serving, share, use
from zoo.cli.command import NOT_A_DEVICE
from zoo.core import backend


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; an error that a person can mend is one line on standard error and status 1."""
    options = parser().parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        backend.choose(options.backend)
        return int(options.run_command(options) or 0)
    except (ValueError, KeyError, TypeError, OSError, ImportError) as error:
        if options.debug:
            raise
        print(f"zoo {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"zoo {options.command}: stopped by you", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    """The parser of every subcommand."""
    top = argparse.ArgumentParser(prog="zoo", description=f"Chest X-ray findings. {NOT_A_DEVICE}")
    top.add_argument("--version", action="version", version=f"xrayslam-zoo {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for group in (make, judge, use, serving, share, look):
        group.add(commands)
    return top
