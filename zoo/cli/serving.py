"""Exporting models to other formats (`zoo export`), and the options that choose a runtime in other commands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from zoo.cli.command import command
from zoo.core.errors import UsageError


def add(commands: Any) -> None:
    """Adds the subcommand."""
    text = "write a model as OpenVINO, ONNX, LiteRT or SavedModel, with preprocessing and temperature inside"
    sub = command(commands, "export", _export, text)
    sub.add_argument("name", help="name, folder or hf:// reference of a release")
    formats = ("onnx", "openvino", "litert", "saved_model")
    sub.add_argument("--format", required=True, choices=formats, help="format to write")
    precisions = ("float32", "bfloat16", "int8")
    sub.add_argument("--precision", default="float32", choices=precisions, help="number type (default: float32)")
    sub.add_argument("--out", type=Path, help="folder to write (default: NAME-FORMAT; int8 goes into the release)")
    sub.add_argument("--members", nargs="+", help="export only these members (not for int8)")
    sub.add_argument("--data", type=Path, help="for int8: labelled images to calibrate and to compare on")
    sub.add_argument("--dataset", default="competition", help="format of the table in --data: competition, nih, ...")
    sub.add_argument(
        "--trained-on",
        type=Path,
        help="for int8: run folder or split.json of the release, which tells which images calibrate and which compare",
    )


def add_runtime(sub: Any) -> None:
    """Adds the options of `zoo.load` that choose a runtime."""
    runtimes, precisions = ("keras", "openvino", "onnx"), ("float32", "bfloat16", "int8", "auto")
    sub.add_argument("--runtime", default="keras", choices=runtimes, help="runtime of the model (default: keras)")
    sub.add_argument("--precision", default="float32", choices=precisions, help="number type (default: float32)")


def _export(options: argparse.Namespace) -> int:
    from zoo.export import exporting
    from zoo.names import sources

    exporting.check_choice(options.format, options.precision)
    if options.precision == "int8":
        return _export_int8(options)
    if options.data or options.trained_on:
        raise UsageError("--data and --trained-on are for --precision int8")
    out = options.out or Path(f"{Path(options.name).name.partition('@')[0]}-{options.format}")
    found = sources.find(options.name, options.members)
    made = exporting.export(found, out, options.format, options.precision, members=options.members)
    check = made.facts["check"]
    print(
        f"{out}: {options.format} {options.precision}; on {check['films']} images no logit differs from Keras on "
        f"{check['backend']} by more than {check['difference']:.2g} (allowed: {check['tolerance']:.2g})"
    )
    return 0


def _export_int8(options: argparse.Namespace) -> int:
    from zoo.core.terminal import TerminalProgress
    from zoo.export.int8 import making
    from zoo.names import sources

    if options.data is None or options.members:
        raise UsageError("int8 needs --data DIR, images to calibrate and to compare on, and takes all members")
    with TerminalProgress() as progress:
        done = making.export_int8(
            sources.find(options.name), options.data, options.out, progress,
            dataset=options.dataset, trained_on=options.trained_on,
        )  # fmt: skip
    print("\n".join(done.lines()))
    if not done.accepted:
        print("zoo export: int8 is refused; nothing was written", file=sys.stderr)
        return 1
    where = done.carried or (done.export.folder if done.export else "")
    print(f"accepted: {where}\nLoad it: zoo.load(NAME, runtime='openvino', precision='int8')")
    return 0
