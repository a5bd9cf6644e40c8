"""Work on one of several machines: the option `--shard`, and `zoo merge`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.command import add_replace, command, refuse_existing
from zoo.core.counting import counted
from zoo.core.errors import UsageError

if TYPE_CHECKING:
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
