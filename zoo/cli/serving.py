"""Models for programs and people: `zoo export`, `serve`, `app`; options that choose a runtime and limits."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.command import MODEL, NOT_A_DEVICE, command, refuse_unused, tell_replaced
from zoo.cli.tables import add_table, named_columns, table_spec
from zoo.core.errors import UsageError
from zoo.data.images.limits import Limits

if TYPE_CHECKING:
    from zoo.inference.predictor import Predictor

#: Option, type, default, unit and help of each number.
Numbers = tuple[tuple[str, type, Any, str, str], ...]


def add(commands: Any) -> None:
    """Adds the subcommands."""
    _add_serve(commands)
    _add_app(commands)
    text = "write a model as OpenVINO, ONNX, LiteRT or SavedModel, with preprocessing and temperature inside"
    sub = command(commands, "export", _export, text)
    sub.add_argument("name", help=MODEL)
    formats = ("onnx", "openvino", "litert", "saved_model")
    sub.add_argument("--format", required=True, choices=formats, help="format to write")
    precisions = ("float32", "bfloat16", "int8")
    sub.add_argument("--precision", default="float32", choices=precisions, help="number type (default: float32)")
    sub.add_argument("--out", type=Path, help="folder to write (default: NAME-FORMAT; int8 goes into the release)")
    sub.add_argument("--members", nargs="+", help="export only these members (not for int8)")
    sub.add_argument("--data", type=Path, help="for int8: labelled images to calibrate and to compare on")
    add_table(sub)
    sub.add_argument(
        "--trained-on",
        type=Path,
        help="for int8: run folder or split.json of the release, which tells which images calibrate and which compare",
    )


def _add_serve(commands: Any) -> None:
    text = "answer images over HTTP with findings as JSON (extra `api`)"
    sub = command(commands, "serve", _serve, text)
    _add_listening(sub, 8000)
    text = "a rejected image is answered with its findings (default) or without"
    sub.add_argument("--on-reject", default="warn", choices=("warn", "skip"), help=text)
    add_limits(sub)
    numbers: Numbers = (
        ("--max-pixels", float, Limits().pixels / 1e6, "MP", "refuse larger images, in megapixels"),
        ("--max-body", int, 256, "MB", "refuse larger requests, in megabytes"),
        ("--max-memory", int, 1000, "MB", "refuse requests while uploads of all requests hold more, in megabytes"),
        ("--max-files", int, 64, "N", "refuse requests with more files"),
        ("--max-batch", int, None, "N", "images in one call of the network (default: the runtime's)"),
        ("--max-wait", float, 5.0, "MS", "milliseconds that a batch waits for images that are being read"),
        ("--queue", int, 256, "N", "images that are read or wait; more are answered 503"),
        ("--timeout", float, 60.0, "S", "seconds of one request"),
        ("--drain", float, 30.0, "S", "seconds for requests in flight to end after SIGTERM"),
    )
    add_numbers(sub, numbers)
    sub.add_argument(
        "--log-names", action="store_true", help="log the names of uploaded files, which may name patients"
    )


def _add_app(commands: Any) -> None:
    sub = command(
        commands, "app", _app, "show a page for the browser: drop images, see findings and heatmaps (extra `app`)"
    )
    _add_listening(sub, 7860)
    add_limits(sub)
    numbers: Numbers = (
        ("--max-pixels", float, Limits().pixels / 1e6, "MP", "refuse larger images, in megapixels"),
        ("--max-body", int, 256, "MB", "refuse larger uploads, in megabytes"),
        ("--max-memory", int, 1000, "MB", "refuse uploads while those that wait hold more, in megabytes"),
        ("--max-files", int, 16, "N", "files that are read at a time"),
        ("--queue", int, 32, "N", "visitors that wait for their turn; more are told to come again"),
    )
    add_numbers(sub, numbers)


def _add_listening(sub: Any, port: int) -> None:
    """Adds the model, and the options of a server for browsers or programs."""
    sub.add_argument("model", help=MODEL)
    add_runtime(sub)
    sub.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)")
    sub.add_argument("--port", type=int, default=port, help=f"port to listen on (default: {port}; 0: a free one)")
    text = "listen on an address that other machines can reach without a token in the environment variable ZOO_TOKEN"
    sub.add_argument("--insecure", action="store_true", help=text)
    sub.add_argument("--point", help="operating point (default: the release's)")
    sub.add_argument("--decision", type=Path, help="decision.json from `zoo evaluate --fit`")


def add_numbers(sub: Any, numbers: Numbers) -> None:
    """Adds options that are numbers, with their defaults in the help."""
    for name, kind, default, unit, text in numbers:
        said = "" if default is None else f" (default: {default:g})"
        sub.add_argument(name, type=kind, default=default, metavar=unit, help=text + said)


def log_lines(level: int) -> None:
    """Writes what is logged to standard error with its time, warnings among it, each as one line."""
    logging.basicConfig(level=level, format="%(asctime)s %(message)s")

    def show(message: Warning | str, *_: object, **__: object) -> None:
        logging.getLogger("zoo").warning("%s", message)

    warnings.showwarning = show


def _app(options: argparse.Namespace) -> int:
    from zoo.app.server import check_installed, run
    from zoo.service.settings import Settings

    settings = Settings(
        host=options.host, port=options.port, token=os.environ.get("ZOO_TOKEN", ""), insecure=options.insecure,
        body=options.max_body * 10**6, held=options.max_memory * 10**6, files=options.max_files, queue=options.queue,
        point=options.point,
    )  # fmt: skip
    limits = limits_of(options)
    check_installed()
    log_lines(logging.WARNING)
    logging.getLogger("zoo.app").setLevel(logging.INFO)
    predictor = load_model(options)
    predictor.limits = limits
    if options.decision is not None:
        predictor = predictor.with_decision(options.decision)
    run(predictor, settings, lambda url: print(f"open {url}   {NOT_A_DEVICE}", flush=True))
    return 0


def _serve(options: argparse.Namespace) -> int:
    from zoo.service.settings import Settings, check_installed

    settings = Settings(
        host=options.host, port=options.port, token=os.environ.get("ZOO_TOKEN", ""), insecure=options.insecure,
        body=options.max_body * 10**6, held=options.max_memory * 10**6, files=options.max_files,
        batch=options.max_batch, wait=options.max_wait / 1000, queue=options.queue, seconds=options.timeout,
        drain=options.drain, point=options.point, log_names=options.log_names,
    )  # fmt: skip
    limits = limits_of(options)
    check_installed()
    from zoo.service.server import run

    log_lines(logging.INFO)
    predictor = load_model(options)
    predictor.on_reject = options.on_reject
    predictor.limits = limits
    if options.decision is not None:
        predictor = predictor.with_decision(options.decision)

    def started(url: str) -> None:
        print(
            f"{options.model} answers at {url}/predict (description: {url}/openapi.json).   {NOT_A_DEVICE}", flush=True
        )

    cut_off = run(predictor, settings, started)
    if cut_off:
        print(f"zoo serve: {cut_off} requests were cut off without an answer", file=sys.stderr)
    return int(cut_off > 0)


def add_limits(sub: Any) -> None:
    """Adds the options that limit one image."""
    most = Limits()
    text = f"refuse larger image files, in megabytes (default: {most.bytes // 10**6})"
    sub.add_argument("--max-file-size", type=int, default=most.bytes // 10**6, metavar="MB", help=text)
    text = f"refuse an image that takes longer to decode, in processor time (default: {most.seconds:g})"
    sub.add_argument("--max-seconds", type=float, default=most.seconds, metavar="S", help=text)
    text = "read DICOM files of other modalities and body parts than a chest radiograph's"
    sub.add_argument("--any-modality", action="store_true", help=text)


def limits_of(options: argparse.Namespace) -> Limits:
    """Limits of one image, from the options that `add_limits` added (and `--max-pixels`, if there is one)."""
    pixels = int(getattr(options, "max_pixels", Limits().pixels / 1e6) * 1e6)
    return Limits(
        bytes=options.max_file_size * 10**6, seconds=options.max_seconds, pixels=pixels,
        any_modality=options.any_modality,
    )  # fmt: skip


def add_runtime(sub: Any) -> None:
    """Adds the options of `zoo.load` that choose a runtime."""
    runtimes, precisions = ("keras", "openvino", "onnx"), ("float32", "bfloat16", "int8", "auto")
    sub.add_argument("--runtime", default="keras", choices=runtimes, help="runtime of the model (default: keras)")
    sub.add_argument("--precision", default="float32", choices=precisions, help="number type (default: float32)")


def load_model(options: argparse.Namespace) -> Predictor:
    """Loads the model that the options name, and says which precision "auto" chose."""
    from zoo.inference.load import load

    predictor = load(options.model, runtime=options.runtime, precision=options.precision)
    if options.precision == "auto":
        print(f"precision 'auto': {predictor.runtime.name} {predictor.runtime.precision}", file=sys.stderr)
    return predictor


def _export(options: argparse.Namespace) -> int:
    from zoo.export import exporting
    from zoo.names import sources
    from zoo.release.layout import FACTS

    exporting.check_choice(options.format, options.precision)
    if options.precision == "int8":
        return _export_int8(options)
    of_int8 = {
        "--data": options.data, "--trained-on": options.trained_on, "--dataset": options.dataset,
        **named_columns(options),
    }  # fmt: skip
    refuse_unused(of_int8, "is for --precision int8")
    out = options.out or Path(f"{Path(options.name).name.partition('@')[0]}-{options.format}")
    tell_replaced(out, FACTS)
    found = sources.find(options.name, options.members)
    made = exporting.export(found, out, options.format, options.precision, members=options.members)
    check = made.facts.check
    allowed = f"allowed: {check.tolerance:.2g}" if check.tolerance is not None else ""
    if check.probability is not None:
        allowed = f"no probability by more than {check.probability:.2g}"
        if check.decisions_kept is not None:
            allowed += f", {100 * check.decisions_kept:.1f} % of {check.decisions} decisions stay"
    print(
        f"{out}: {options.format} {options.precision}; on {check.films} images no logit differs from Keras on "
        f"{check.backend} by more than {check.difference:.2g} ({allowed})"
    )
    return 0


def _export_int8(options: argparse.Namespace) -> int:
    from zoo.core.terminal import TerminalProgress
    from zoo.export.int8 import making
    from zoo.names import sources
    from zoo.release.layout import FACTS

    if options.data is None or options.members:
        raise UsageError("int8 needs --data DIR, images to calibrate and to compare on, and takes all members")
    if options.out is not None:
        tell_replaced(options.out, FACTS)
    with TerminalProgress() as progress:
        done = making.export_int8(
            sources.find(options.name), options.data, options.out, progress,
            dataset=options.dataset, columns=table_spec(options), trained_on=options.trained_on,
        )  # fmt: skip
    print("\n".join(done.lines()))
    if not done.accepted:
        print("zoo export: int8 is refused; nothing was written", file=sys.stderr)
        return 1
    where = done.carried or (done.export.folder if done.export else "")
    print(f"accepted: {where}\nLoad it: zoo.load(NAME, runtime='openvino', precision='int8')")
    return 0
