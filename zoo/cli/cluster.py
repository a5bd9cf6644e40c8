"""Work on one of several machines: the option `--shard`, and `zoo merge`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.command import NOT_A_DEVICE, add_replace, command, number, refuse_existing, refuse_unused
from zoo.core.counting import counted
from zoo.core.errors import UsageError
from zoo.core.paths import is_address

if TYPE_CHECKING:
    from zoo.inference.predictor import Predictor
    from zoo.inference.shards import Shard


def add(commands: Any) -> None:
    """Adds the subcommands."""
    text = "join the parts that --shard wrote into one table, as one process would have written it"
    sub = command(commands, "merge", _merge, text)
    sub.add_argument("parts", type=Path, nargs="+", metavar="PART", help="parts, or folders of parts")
    sub.add_argument("--out", type=Path, required=True, help="file to write, .csv or .parquet")
    add_replace(sub, "replace the file --out if it exists")


def add_shard(sub: Any) -> None:
    """Adds `--shard`, which makes a command one of n equal tasks."""
    text = "work on one of N shares of the images, I from 0 to N-1, and write a part, OUT.parts/I-of-N.parquet; auto/N "
    text += "takes I from an array of Slurm or an indexed job of Kubernetes; `zoo merge OUT.parts --out OUT` joins them"
    sub.add_argument("--shard", type=_shard, metavar="I/N", help=text)


def _shard(text: str) -> Shard:
    from zoo.inference.shards import Shard

    try:
        return Shard.parse(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_engine(sub: Any) -> None:
    """Adds `--engine` and what belongs to it."""
    text = "what runs the model: this process, or workers of Ray, which score folders, addresses (s3://...) and lists "
    text += "(.csv, .parquet) and write a folder of Parquet files; the same command goes on after a kill"
    sub.add_argument("--engine", default="here", choices=("here", "ray"), help=text)
    text = "with --engine ray: number of workers, each with a model of its own (default: what the cluster has room for)"
    sub.add_argument("--workers", type=number(int, 1), metavar="N", help=text)
    text = "with --engine ray: GPUs of a worker, such as 1 or 0.5 (default: none)"
    sub.add_argument("--gpus", type=number(float, 0), metavar="N", help=text)
    text = "with --engine ray: address of a cluster, or auto (default: start one on this machine)"
    sub.add_argument("--ray-address", metavar="ADDRESS", help=text)


def place(text: str) -> Path | str:
    """Reads a path, or an address such as s3://bucket/images as it is."""
    return text if is_address(text) else Path(text)


def predict_on_ray(options: argparse.Namespace, predictor: Predictor) -> int:
    """Runs `zoo predict --engine ray`."""
    from zoo.cluster.ray_engine import Workers, score_on_ray
    from zoo.core.terminal import TerminalProgress

    workers = Workers(options.workers, gpus=options.gpus or 0, address=options.ray_address)
    with TerminalProgress() as progress:
        counts = score_on_ray(
            predictor, options.images, options.out, progress,
            workers=workers, point=options.point, batch_size=options.batch_size, wide=options.wide,
            restart=options.replace,
        )  # fmt: skip
    checked = f"; rejected: {counts.rejected:,}; doubtful: {counts.doubtful:,}" if predictor.gate else ""
    print(f"Images in {options.out}: {counts.images:,}; unreadable: {counts.unreadable:,}{checked}   {NOT_A_DEVICE}")
    return 0


def check_engine(options: argparse.Namespace) -> None:
    """Refuses options and sources that the chosen engine does not take; paths become paths.

    Raises:
        UsageError: One was given.
    """
    if options.engine == "here":
        ray = {"--workers": options.workers, "--gpus": options.gpus, "--ray-address": options.ray_address}
        refuse_unused(ray, "is of workers: give --engine ray as well")
        options.images = [Path(image) for image in options.images]
        return
    refused = {
        "--by study": options.by == "study", "--shard": options.shard, "--dicom-out": options.dicom_out,
        "--ids": options.ids != "file", "--strict": options.strict, "--example": options.example,
    }  # fmt: skip
    refuse_unused(refused, "not with --engine ray, whose rows are of images, by file: leave it out")
    if options.out is None:
        raise UsageError("--out FOLDER is missing: --engine ray writes a folder of Parquet files")


def written_to(options: argparse.Namespace) -> Path:
    """The file that is written: the table, or a part of it."""
    out: Path = options.out
    shard: Shard | None = options.shard
    return out if shard is None else shard.part_of(out)


def _merge(options: argparse.Namespace) -> int:
    from zoo.core.terminal import TerminalProgress
    from zoo.runs.merge import merge

    refuse_existing(options.out, options.replace)
    with TerminalProgress() as progress:
        found = merge(options.parts, options.out, progress)
    of = counted(found.images, "image") if found.images == found.units else f"{found.units:,} studies"
    print(f"{options.out}: {of} in {counted(found.rows, 'row')}, of {counted(found.parts, 'part')}")
    print(f"Unreadable: {found.unreadable:,}; rejected: {found.rejected:,}; doubtful: {found.doubtful:,}")
    return 0
