"""Looking before doing: tables of images, models, and the installation."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from zoo.cli.command import add_json, add_page, command, print_json, refuse_unused, tell_replaced
from zoo.cli.tables import add_table, named_columns, table_spec
from zoo.core.errors import UsageError

#: Lists of up to so many names are shown whole by `zoo info`; of longer ones, the first few.
_MOST_NAMES, _FEW_NAMES = 30, 5


def add(commands: Any) -> None:
    """Adds the subcommands."""
    _add_data(commands)
    _add_audit(commands)
    sub = command(commands, "list", _list, "list the names of models")
    sub.add_argument("pattern", nargs="?", default="*", help="show matching names only, such as 'xrayslam*'")
    sub.add_argument("--kind", choices=("ensemble", "backbone"), help="show one kind of model only")
    sub.add_argument(
        "--catalog", action="store_true", help="show a table: origin, licence, size, labels, AUC, what was verified"
    )
    add_json(sub)
    sub = command(commands, "info", _info, "show the properties of a model")
    sub.add_argument("name", help="name of a model")
    add_json(sub)
    text = "show backend, devices, versions, folders and the Hub, and the line that installs what is missing"
    sub = command(commands, "doctor", _doctor, text)
    sub.epilog = "Exit status: 1 if something stops the package from working. No token is shown."
    sub.add_argument("--offline", action="store_true", help="do not ask the Hub whether it answers")
    add_json(sub)


def _add_data(commands: Any) -> None:
    from zoo.data.tables.names import DATASET_NAMES

    text = "show what a table of labelled images holds, and the split it would give, before training"
    sub = command(commands, "data", _data, text)
    sub.epilog = f"Formats that --dataset names: {', '.join(DATASET_NAMES)}. `zoo data --formats` describes them."
    sub.add_argument("data", type=Path, nargs="?", help="the table, or the folder of the table and the images")
    add_table(sub, "by the names of the files")
    sub.add_argument("--formats", action="store_true", help="describe the formats of tables, and stop")
    sub.add_argument(
        "--split-by",
        choices=("patient", "image"),
        default="patient",
        help="what the shown split keeps in one part (default: patient)",
    )
    sub.add_argument("--quick", action="store_true", help="do not read the images: no copies, no unreadable images")
    add_page(sub)
    sub.add_argument("--json", type=Path, metavar="FILE", help="also write everything as JSON")


def _add_audit(commands: Any) -> None:
    text = (
        "list labels that look wrong and nearly equal images, with a page of the pictures; changes nothing in the data"
    )
    sub = command(commands, "audit", _audit, text)
    sub.add_argument("--data", type=Path, required=True, help="the table, or the folder of the table and the images")
    add_table(sub)
    text = (
        "probabilities out of fold: out_of_fold.csv of `zoo probe`, or its run folder; without it labels are not judged"
    )
    sub.add_argument("--predictions", type=Path, metavar="FILE", help=text)
    sub.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="folder of the tables and the page")


def _audit(options: argparse.Namespace) -> None:
    from zoo.core.terminal import TerminalProgress
    from zoo.runs import audit

    tell_replaced(options.out, audit.PAGE)
    with TerminalProgress() as progress:
        found = audit.audit(
            options.data, options.out, progress,
            predictions=options.predictions, dataset=options.dataset, columns=table_spec(options),
        )  # fmt: skip
    print(audit.as_text(found))
    print(f"Tables and page: {options.out}")


def _data(options: argparse.Namespace) -> None:
    from zoo.data.tables.datasets import described

    if options.formats:
        others = {
            "the table": options.data, "--dataset": options.dataset, **named_columns(options), "--html": options.html,
            "--json": options.json, "--quick": options.quick, "--split-by": options.split_by != "patient",
        }  # fmt: skip
        refuse_unused(others, "has no effect with --formats, which describes the formats and stops")
        print(described().replace("; ", "\n"))
        return
    if options.data is None:
        raise UsageError("give the table or its folder: zoo data DIR")
    for page in filter(None, (options.html, options.json)):
        tell_replaced(page)
    from zoo.config.specs import to_dict
    from zoo.core.files import write_json
    from zoo.core.terminal import TerminalProgress
    from zoo.data.splits import SplitSpec
    from zoo.runs import describe

    with TerminalProgress() as progress:
        found = describe.describe(
            options.data, progress, dataset=options.dataset, columns=table_spec(options),
            split=SplitSpec(by=options.split_by), read_images=not options.quick,
        )  # fmt: skip
    print(describe.as_text(found))
    if options.html:
        from zoo.report.data_page import write_data_page

        print(f"Page: {write_data_page(found, options.html)}")
    if options.json:
        write_json(options.json, to_dict(found))
        print(f"JSON: {options.json}")


def _list(options: argparse.Namespace) -> None:
    from zoo.names import registry

    if options.catalog:
        from zoo.names import catalog_table

        shown = {*registry.list_models(options.pattern, options.kind)}
        rows = [row for row in catalog_table.rows() if row.name in shown]
        if options.json:
            print_json(rows)
            return
        # On a terminal to be read; in a file or a pipe as Markdown, one line a model.
        width = max(60, min(shutil.get_terminal_size().columns, 100))
        print(catalog_table.text(rows, width) if sys.stdout.isatty() else catalog_table.markdown(rows))
        return
    names = registry.list_models(options.pattern, options.kind)
    print_json(names) if options.json else print("\n".join(names))


def _info(options: argparse.Namespace) -> None:
    import dataclasses

    from zoo.names import registry

    found = registry.info(options.name)
    if options.json:
        print_json(found)
        return
    for key, value in dataclasses.asdict(found).items():
        if value not in ("", (), None, 0):
            print(f"{key:>14}  {_shown(key, value)}")


def _shown(key: str, value: object) -> str:
    if key == "parameters":
        return f"{value:,} in the backbones, without heads"
    if isinstance(value, tuple):
        more = f", ... ({len(value):,} in all)" if len(value) > _MOST_NAMES else ""
        return ", ".join(value[: _FEW_NAMES if more else None]) + more
    return str(value)


def _doctor(options: argparse.Namespace) -> int:
    from zoo.runs import doctor

    checks = doctor.examine(network=not options.offline)
    if options.json:
        print_json(checks)
    else:
        print(doctor.as_text(checks))
    return 0 if doctor.healthy(checks) else 1
