"""The command line. Each subcommand is a thin call of another package; no other package prints."""

from __future__ import annotations

import argparse
import os
import platform
import select
import signal
import sys
import traceback
from collections.abc import Sequence

from zoo._version import __version__
from zoo.cli import cluster, completion, distilling, judge, kaggle, look, make, node, probing, serving, share, use
from zoo.cli.command import NOT_A_DEVICE
from zoo.cli.journey import TopParser, add_examples
from zoo.core import backend
from zoo.core.errors import ZooError
from zoo.core.quiet import quiet_tensorflow
from zoo.training.interruption import Signalled, at_once

#: Line that is printed below a traceback, and exit status after one (EX_SOFTWARE of sysexits.h).
REPORT = "This is a fault of xrayslam-zoo: please report it to the project, with the text above ({versions})."
FAULT = 70
#: Exit status when the reader of the output has left: that of a program ended by SIGPIPE.
READER_LEFT = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status.

    Errors of use are one line on standard error and status 1; invalid options are reported by argparse, with status 2.
    A fault of this package prints its traceback and a line that asks for a report, with status 70. Where the reader of
    the output has left, as in `zoo list | head -1`, the command ends without a word, with status 141. SIGTERM, SIGHUP
    and Ctrl-C are told in one line, with status 128 plus the number of the signal; the second one ends the process.
    """
    top = parser()
    completion.answer(top)  # ends here if a shell asks what could come next
    options = top.parse_args(arguments)
    quiet_tensorflow()
    try:
        backend.choose(options.backend)
        with at_once():
            status = int(options.run_command(options) or 0)
        sys.stdout.flush()  # here, so that a reader who left is noticed here
        return status
    except (ZooError, OSError) as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            return READER_LEFT
        if options.debug:
            raise
        print(f"zoo {options.command}: {' '.join(_said(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        name = stop.name if isinstance(stop, Signalled) and stop.name != "SIGINT" else "you"
        print(f"zoo {options.command}: stopped by {name}; the same command goes on from what is kept", file=sys.stderr)
        return 128 + (stop.number if isinstance(stop, Signalled) else signal.SIGINT)
    except Exception:  # noqa: BLE001 - the whole traceback is printed
        traceback.print_exc()
        print(REPORT.format(versions=_versions()), file=sys.stderr)
        return FAULT


def _said(error: ZooError | OSError) -> str:
    """The text of an error; one of the system's is told as path and reason, without its number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror.lower()}"
    return str(error)


def _reader_left() -> bool:
    """Whether nobody reads the output any more (`zoo list | head -1`); what is still to be written is dropped then."""
    try:
        output = sys.stdout.fileno()
        watched = select.poll()
    except (OSError, AttributeError):  # not a file; no `poll` on Windows
        return False
    watched.register(output, 0)  # errors are always told
    left = bool(watched.poll(0))
    if left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return left


def _versions() -> str:
    keras = getattr(sys.modules.get("keras"), "__version__", "not imported")
    running = backend.current() or os.environ.get("KERAS_BACKEND", "none")
    return f"xrayslam-zoo {__version__}, Python {platform.python_version()}, Keras {keras}, backend {running}"


def parser() -> TopParser:
    """Builds the parser with all subcommands."""
    top = TopParser(prog="zoo", description=f"Chest X-ray findings. {NOT_A_DEVICE}")
    top.add_argument("--version", action="version", version=f"xrayslam-zoo {__version__}")
    kind = argparse.ArgumentParser
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=kind)
    for group in (use, cluster, serving, node, judge, make, distilling, probing, kaggle, share, look, completion):
        group.add(commands)
    top.commands = commands.choices
    add_examples(top.commands)
    return top
