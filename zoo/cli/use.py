"""Predicting with a model: `zoo predict`, `zoo submit`, `zoo embed`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.cluster import add_engine, add_shard, check_engine, place, predict_on_ray, written_to
from zoo.cli.command import (
    MODEL,
    NOT_A_DEVICE,
    add_by,
    add_replace,
    command,
    number,
    refuse_unused,
    tell_replaced,
)
from zoo.cli.serving import add_limits, add_runtime, limits_of, load_model
from zoo.core import home
from zoo.core.counting import counted
from zoo.core.errors import UsageError

if TYPE_CHECKING:
    from zoo.dicom import Wanted
    from zoo.dicom.making import Heatmaps
    from zoo.inference.predictor import Predictor
    from zoo.runs.dicom_out import DicomFolder
    from zoo.runs.predict_studies import StudyCounts
    from zoo.runs.writing import Counts

#: Model of `zoo predict --example`.
EXAMPLE_MODEL = "nih-lite"

#: Model of `zoo predict` and `zoo submit` without --model.
DEFAULT_MODEL = "xrayslam-ensemble"

#: Help of --replace where a file is written piece by piece.
_REPLACE = "start again instead of resuming an earlier run, and replace the file --out if it exists"


def add(commands: Any) -> None:
    """Adds the subcommands."""
    for name, run, text in (
        ("predict", _predict, "write the findings of all images in a folder to CSV or Parquet; can be resumed"),
        ("submit", _submit, "write the competition's submission file for a folder of images"),
    ):
        sub = command(commands, name, run, text)
        images = sub.add_argument("images", type=Path, nargs="+", help="image files or folders")
        text = f"{MODEL} (default: {DEFAULT_MODEL}"
        text += f"; {EXAMPLE_MODEL} with --example)" if name == "predict" else ")"
        sub.add_argument("--model", default=DEFAULT_MODEL, help=text)
        what = "file to write, .csv or .parquet" if name == "predict" else "CSV file to write"
        out = sub.add_argument("--out", type=Path, required=True, help=what)
        if name == "predict":
            add_shard(sub)
            add_engine(sub)
            images.type, images.help = place, images.help + "; with --engine ray also lists and addresses"
            text = f"predict the images that come with the package, with {EXAMPLE_MODEL}, and print the table"
            sub.add_argument("--example", action="store_true", help=text)
            images.nargs, out.required = "*", False
            sub.set_defaults(model=None)
        _add_running(sub)
        add_by(sub)
        text = "with --by study: 'header' (Study Instance UID of DICOM files), 'name' (files called "
        text += "<patient>_<study>_<image>), 'folder', or a table (default: header of DICOM files, name of others)"
        sub.add_argument("--studies", metavar="SOURCE", help=text)
        if name == "predict":
            sub.add_argument("--point", help="operating point (default: the release's)")
            sub.add_argument("--decision", type=Path, help="decision.json from `zoo evaluate --fit`")
            sub.add_argument("--wide", action="store_true", help="one row per image or study, with probabilities only")
            add_replace(sub, _REPLACE, "--restart")
            text = "an image that the quality checks reject is predicted with a warning (default), gets a row without "
            text += "probabilities, or stops the command"
            sub.add_argument("--on-reject", default="warn", choices=("warn", "skip", "raise"), help=text)
            _add_ids(sub)
            _add_dicom_out(sub)
        else:
            sub.add_argument("--sample", type=Path, help="sample submission that gives rows, order and columns")
    _add_embed(commands)


def _add_running(sub: Any) -> None:
    """Adds how a model is run over images."""
    sub.add_argument("--batch-size", type=number(int, 1), help="images per batch (default: the runtime's)")
    add_runtime(sub)
    sub.add_argument("--strict", action="store_true", help="stop at the first unreadable image")
    add_limits(sub)


def _add_ids(sub: Any) -> None:
    text = "how rows name DICOM images: by file (default; no identifier of a header is read), by SOP Instance UID, or "
    text += "by its hash (keyed by ZOO_IDS_KEY if that is set; not an anonymisation)"
    sub.add_argument("--ids", default="file", choices=("file", "uid", "hash"), help=text)


def _add_dicom_out(sub: Any) -> None:
    text = "also, or instead of --out, write a DICOM structured report for each DICOM image or study into this folder"
    sub.add_argument("--dicom-out", type=Path, metavar="DIR", help=text)
    text = (
        "with --dicom-out: findings with heatmaps, as parametric maps (default: positive; none unless --runtime keras)"
    )
    sub.add_argument("--heatmaps", choices=("positive", "all", "none"), help=text)
    text = "with --dicom-out: also write each heatmap over its image, as a secondary capture"
    sub.add_argument("--captures", action="store_true", help=text)


def _add_embed(commands: Any) -> None:
    text = "write the pooled features of all images in a folder to Parquet or CSV; can be resumed"
    sub = command(commands, "embed", _embed, text)
    sub.add_argument("model", help=MODEL)
    sub.add_argument("images", type=Path, nargs="+", help="image files or folders")
    sub.add_argument("--out", type=Path, required=True, help="file to write, .parquet or .csv")
    _add_running(sub)
    add_replace(sub, _REPLACE, "--restart")
    _add_ids(sub)
    add_shard(sub)


def _embed(options: argparse.Namespace) -> int:
    from zoo.core.terminal import TerminalProgress
    from zoo.inference import writers
    from zoo.runs import embed

    writers.format_of(options.out, "features")  # raises for an unknown format before the model is loaded
    predictor = _load(options)
    with TerminalProgress() as progress:
        counts = embed.write_features(
            predictor, options.images, options.out, progress,
            batch_size=options.batch_size, strict=options.strict, restart=options.replace, ids=options.ids,
            shard=options.shard,
        )  # fmt: skip
    print(f"Images in {written_to(options)}: {counts.images:,}; unreadable: {counts.unreadable:,}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from zoo.core.terminal import TerminalProgress
    from zoo.inference import writers
    from zoo.runs import predict

    source = _studies(options)
    check_engine(options)
    _complete(options)
    if options.engine == "ray":
        return predict_on_ray(options, _decided(options))
    if options.out is None and options.dicom_out is None:
        return _print_example(options)
    if options.out is None:
        return _dicom_only(options, source)
    writers.format_of(options.out)  # raises for an unknown format before the model is loaded
    predictor = _decided(options)
    how: Any = {
        "point": options.point, "batch_size": options.batch_size, "strict": options.strict, "wide": options.wide,
        "restart": options.replace, "ids": options.ids, "shard": options.shard,
    }  # fmt: skip
    with TerminalProgress() as progress:
        folder = _dicom_folder(options, predictor, progress.message)
        if folder is not None:
            how["also"] = folder.add if source else folder.add_each
        if source:
            from zoo.runs.predict_studies import write_study_findings

            of = write_study_findings(predictor, options.images, options.out, progress, source=source, **how)
            counts: StudyCounts | Counts = of
            written = f"Studies in {written_to(options)}: {of.studies:,}, of {counted(of.images, 'image')}"
        else:
            counts = predict.write_findings(predictor, options.images, options.out, progress, **how)
            written = f"Images in {written_to(options)}: {counts.images:,}"
    checked = f"; rejected: {counts.rejected:,}; doubtful: {counts.doubtful:,}" if predictor.gate else ""
    if folder is not None:
        print(f"DICOM objects in {options.dicom_out}: {folder.counts}")
    print(f"{written}; unreadable: {counts.unreadable:,}{checked}   {NOT_A_DEVICE}")
    return 0


def _decided(options: argparse.Namespace) -> Predictor:
    """The model with the choices on rejected images and on the decision."""
    predictor = _load(options)
    predictor.on_reject = options.on_reject
    return predictor if options.decision is None else predictor.with_decision(options.decision)


def _dicom_only(options: argparse.Namespace, source: str | None) -> int:
    """Writes DICOM objects and no table."""
    from zoo.core.terminal import TerminalProgress
    from zoo.runs.dicom_out import write_dicom

    if options.ids != "file":
        raise UsageError("--ids is of the table: give --out FILE as well")
    predictor = _decided(options)
    with TerminalProgress() as progress:
        counts = write_dicom(
            predictor, options.images, options.dicom_out, progress,
            wanted=_wanted(options, progress.message), study_source=source, batch_size=options.batch_size,
            strict=options.strict,
        )  # fmt: skip
    print(f"DICOM objects in {options.dicom_out}: {counts}   {NOT_A_DEVICE}")
    return 0


def _dicom_folder(options: argparse.Namespace, predictor: Predictor, say: Callable[[str], None]) -> DicomFolder | None:
    """What writes the DICOM objects beside a table, if that is asked for."""
    if options.dicom_out is None:
        return None
    from zoo.runs.dicom_out import DicomFolder

    return DicomFolder(predictor, options.dicom_out, _wanted(options, say))


def _wanted(options: argparse.Namespace, say: Callable[[str], None]) -> Wanted:
    from zoo.dicom import Wanted

    heatmaps: Heatmaps = options.heatmaps or ("positive" if options.runtime == "keras" else "none")
    if options.heatmaps is None and heatmaps == "none":
        say("no heatmaps: they need --runtime keras")
    return Wanted(options.point, heatmaps, options.captures)


def _complete(options: argparse.Namespace) -> None:
    """Fills in the model, and with --example the images; raises for images or a file that are missing or too many."""
    if options.example and options.images:
        raise UsageError("--example predicts the images that come with the package: give no others")
    if not options.example and not options.images:
        raise UsageError("give image files or folders, or --example for those that come with the package")
    if options.dicom_out is None and (options.heatmaps or options.captures):
        raise UsageError("--heatmaps and --captures are of DICOM results: give --dicom-out DIR as well")
    if not options.example and options.out is None and options.dicom_out is None:
        raise UsageError("--out FILE is missing: a .csv or .parquet file to write; or --dicom-out DIR")
    if options.out is None:
        shape = {"--wide": options.wide, "--replace": options.replace, "--shard": options.shard}
        shape |= {} if options.dicom_out else {"--by study": options.by == "study"}
        refuse_unused(shape, "has no effect without a file: give --out FILE as well")
    if options.example:
        options.images = home.example_images()
    options.model = options.model or (EXAMPLE_MODEL if options.example else DEFAULT_MODEL)


def _print_example(options: argparse.Namespace) -> int:
    """Prints a line for each finding with its probability on each example image; * marks those above the threshold."""
    predictor = _decided(options)
    table = predictor.findings(
        options.images, point=options.point, batch_size=options.batch_size, strict=options.strict
    )
    cells = table["probability"].map("{:.2f}".format) + table["positive"].map({True: " *", False: "  "}).fillna("  ")
    table = table.assign(cell=cells.where(table["error"] == "", table["error"]), image=table["image"].map(_file_name))
    grid = table.pivot(index="finding", columns="image", values="cell").rename_axis(index=None, columns=None)
    print(grid.loc[list(predictor.labels)].to_string())
    print(f"* above the threshold of {options.model}.   Images: {options.images[0].parent}   {NOT_A_DEVICE}")
    return 0


def _file_name(path: str) -> str:
    return Path(path).name


def _submit(options: argparse.Namespace) -> int:
    from zoo.core.terminal import TerminalProgress
    from zoo.runs import submit

    tell_replaced(options.out)
    with TerminalProgress() as progress:
        counts = submit.write_submission(
            _load(options), options.images, options.out, progress,
            sample=options.sample, batch_size=options.batch_size, strict=options.strict, studies=_studies(options),
        )  # fmt: skip
    filled = f"; unreadable: {counts.unreadable:,}, with the mean over the other images" if counts.unreadable else ""
    rejected = f"; rejected: {counts.rejected:,}, with their probabilities" if counts.rejected else ""
    print(f"Rows written to {options.out}: {counts.images:,}{filled}{rejected}")
    return 0


def _studies(options: argparse.Namespace) -> str | None:
    """How the study of an image is found, None for rows of images."""
    if options.studies and options.by != "study":
        raise UsageError("--studies tells which images are joined: give --by study as well")
    return (options.studies or "auto") if options.by == "study" else None


def _load(options: argparse.Namespace) -> Predictor:
    from zoo.data.images.listing import check_exist

    # What was mistyped is told before a model is fetched or loaded.
    local = [image for image in options.images if isinstance(image, Path)]
    check_exist([*local, *filter(None, [getattr(options, "decision", None)])])
    limits = limits_of(options)
    predictor = load_model(options)
    predictor.limits = limits
    return predictor
