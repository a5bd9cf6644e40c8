"""Joins the tables of several data sets to one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import UsageError
from zoo.core.paths import stem
from zoo.data.tables.competition import Uncertain
from zoo.data.tables.crossing import read_for
from zoo.data.tables.reading import dataset_of, home_of
from zoo.data.tables.spec import TableSpec


@dataclass(frozen=True)
class DataSet:
    """One of several data sets.

    Attributes:
        data: Folder of images and table, or the table.
        dataset: Format of the table; None to find it out as for a single one.
        columns: Names of the columns, for a table of one's own.
    """

    data: Path
    dataset: str | None = None
    columns: TableSpec = field(default_factory=TableSpec)


def pair_up(data: Sequence[Path], datasets: Sequence[str], columns: TableSpec | None = None) -> tuple[DataSet, ...]:
    """Pairs folders with formats: none for all, one for all, or one for each in order.

    Raises:
        UsageError: There is another number of formats.

    Example:
        >>> [one.dataset for one in pair_up([Path("a"), Path("b")], ["nih", "csv"])]
        ['nih', 'csv']
    """
    if len(datasets) not in (0, 1, len(data)):
        raise UsageError(
            f"--dataset is given once for all data or once for each --data, got {len(datasets)} for {len(data)}"
        )
    each: Sequence[str | None] = list(datasets) if len(datasets) > 1 else [*datasets, None][:1] * len(data)
    spec = columns or TableSpec()
    plain = TableSpec(images=spec.images)
    return tuple(
        DataSet(path, name, spec if name in (None, "csv") else plain) for path, name in zip(data, each, strict=True)
    )


def read_several(
    sets: Sequence[DataSet],
    findings: Sequence[str],
    *,
    default: str = "competition",
    uncertain: Uncertain = "keep",
    say: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Reads several data sets for the findings of a model into one canonical table.

    The image names begin with the name of their set ("setA/0001.png"), so that two sets may use one name. Patients are
    the same person only within one format (the competition's divisions A and B, or parts of NIH's, share patients);
    each plain CSV has patients of its own. "Source" stays as each set has it; plain tables that would have the same
    source are told apart by the set's name.

    Args:
        sets: The data sets.
        findings: The findings of the model; those that a set does not label are NaN in its rows.
        default: Format of a folder whose format is not given.
        uncertain: Replacement of the label -1, as in `read_table`.
        say: Called with each sentence on what was understood.

    Raises:
        UsageError: A folder is given twice.
        TableError: A table is invalid.
    """
    names = set_names([one.data for one in sets])
    parts = []
    for name, one in zip(names, sets, strict=True):
        form = dataset_of(one.data, one.dataset, default, one.columns)
        table, notes = read_for(findings, form, one.data, uncertain=uncertain, columns=one.columns, say=say)
        whose = name if form == "csv" else form.removesuffix("-debatable")
        source = table["Source"].where(table["Source"] != "csv", name)
        patients = table["Patient_ID"]
        parts.append(
            table.assign(
                Image_name=[f"{name}/{image}" for image in table["Image_name"]],
                Patient_ID=patients.where(patients.isna(), whose + ": " + patients.astype(str)),
                Source=source,
            )
        )
        say(f"{name}: {len(table):,} rows of the form {form!r}, {counted(patients.nunique(), 'patient')}")
        for note in notes:
            say(f"{name}: {note}")
    joined = pd.concat(parts, ignore_index=True)
    own = [set(part["Patient_ID"].dropna()) for part in parts]
    shared = sum(map(len, own)) - len(set().union(*own))
    people = len(set().union(*own))
    say(f"{len(sets)} data sets: {len(joined):,} rows, {counted(people, 'patient')}, {shared:,} of them in several")
    return joined


def set_names(data: Sequence[Path]) -> list[str]:
    """A different name for each data set: that of its folder or table, numbered where two are alike.

    Raises:
        UsageError: One is given twice.

    Example:
        >>> set_names([Path("/a/nih"), Path("/b/nih"), Path("/c/own.csv")])
        ['nih', 'nih-2', 'own']
    """
    places = [os.path.realpath(path) for path in data]
    for place in places:
        if places.count(place) > 1:
            raise UsageError(f"{place}: this data set is given twice")
    names: list[str] = []
    for path in data:
        plain = stem(Path(path).absolute().name).removesuffix(".csv") or "data"
        taken = sum(name == plain or name.startswith(f"{plain}-") for name in names)
        names.append(plain if not taken else f"{plain}-{taken + 1}")
    return names


def root_of(sets: Sequence[DataSet]) -> Path:
    """The folder that holds all data sets, to which caches store their paths."""
    return Path(os.path.commonpath([home_of(one.data) for one in sets]))


def copies(table: pd.DataFrame, digests: Mapping[str, str]) -> tuple[int, str]:
    """Counts the images whose file has the same content as one of another data set.

    Args:
        table: A table of `read_several`.
        digests: Path -> digest of the file.

    Returns:
        The number of different contents that several sets hold, and an example ("" if there is none).
    """
    held: dict[str, dict[str, str]] = {}
    for path, name in zip(table["Image_path"], table["Image_name"], strict=True):
        if digest := digests.get(str(path), ""):
            held.setdefault(digest, {}).setdefault(str(name).partition("/")[0], str(name))
    twice = [list(of.values()) for of in held.values() if len(of) > 1]
    return len(twice), " = ".join(twice[0]) if twice else ""
