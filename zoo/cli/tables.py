"""Options that name the columns of a table of one's own, for every command that reads one."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.data.tables.spec import TableSpec

_COLUMNS = ("image", "patient", "study", "sex", "age", "view")


def add_table(sub: Any, default: str = "by the file's name; competition for a folder", several: bool = False) -> None:
    """Adds `--dataset`, `--images` and the options that name columns; `several` lets `--dataset` be given again."""
    from zoo.data.tables.names import DATASET_NAMES

    group = sub.add_argument_group("the table of labels")
    group.add_argument(
        "--dataset",
        action="append" if several else "store",
        help=f"format of the table (default: {default}): {', '.join(DATASET_NAMES)}; `zoo data --formats` says more",
    )
    group.add_argument("--images", default="", metavar="DIR", help="folder of the images, if it is not the table's")
    for role in _COLUMNS:
        group.add_argument(f"--{role}-column", default="", metavar="NAME", help=f"column of the {role} (--dataset csv)")
    text = "read patient, study, sex, age and view that the table lacks from the headers of DICOM images (identifiers "
    text += "are hashed)"
    group.add_argument("--header-facts", action="store_true", help=text)
    group.add_argument(
        "--labels-column", default="", metavar="NAME", help="column that lists findings, as 'Edema|Effusion'"
    )
    group.add_argument(
        "--findings", default="", metavar="A,B", help="findings to read (default: every column of labels)"
    )


def named_columns(options: argparse.Namespace) -> dict[str, str]:
    """The options of `add_table` but `--dataset`, with their values, for `command.refuse_unused`."""
    columns = {f"--{role}-column": getattr(options, f"{role}_column") for role in (*_COLUMNS, "labels")}
    return {"--images": options.images, **columns, "--findings": options.findings}


def table_spec(options: argparse.Namespace) -> TableSpec:
    """The columns that the options name."""
    from zoo.data.tables.spec import TableSpec

    named = {role: getattr(options, f"{role}_column") for role in (*_COLUMNS, "labels")}
    findings = tuple(name for text in options.findings.split(",") if (name := text.strip()))
    return TableSpec(**named, findings=findings, images=options.images, headers=options.header_facts)
