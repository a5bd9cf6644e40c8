"""Reads label tables of any supported data set, drops rows without an image, and converts labels to arrays.

Canonical table: `Image_path` (absolute), `Image_name`, `Patient_ID`, `Study`, `Sex` ("F", "M", "O"), `Age` (years),
`ViewCategory`, `ViewPosition`, `Source`, then one float32 column per finding (1, 0, NaN = unknown, and -1 =
uncertain if a table was read with `uncertain="keep"`). Missing facts are
NaN. Identifiers are text. "Rows" are int positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import TableError, UnknownNameError, UsageError
from zoo.core.paths import NOT_LOCAL, file_name, is_address, is_file, stem
from zoo.data.tables.canonical import COLUMNS
from zoo.data.tables.competition import KNOWN_BROKEN, Uncertain, read_competition
from zoo.data.tables.datasets import DATASETS, Files, recognise
from zoo.data.tables.nih import read_nih
from zoo.data.tables.plain import read_csv_table
from zoo.data.tables.spec import TableSpec
from zoo.labels.findings import LabelSchema
from zoo.labels.uncertain import UNCERTAIN

__all__ = [
    "COLUMNS",
    "DATASETS",
    "KNOWN_BROKEN",
    "check_learnable",
    "dataset_of",
    "drop_missing",
    "drop_unreadable",
    "fill_original",
    "findings_of",
    "home_of",
    "labels_of",
    "read_competition",
    "read_csv_table",
    "read_nih",
    "read_table",
]

_UNCERTAIN = {"nan": np.nan, "zero": 0.0, "one": 1.0, "keep": -1.0}


def read_table(
    dataset: str,
    folder: str | Path,
    *,
    labels: str | Path | None = None,
    images: str | Path | None = None,
    uncertain: Uncertain = "nan",
    schema: LabelSchema | None = None,
    columns: TableSpec | None = None,
    say: Callable[[str], None] | None = None,
) -> pd.DataFrame:
    """Finds the table and the images of a data set in `folder` and reads them into a canonical table.

    Args:
        dataset: One of `DATASETS`.
        folder: Folder with the files that `DATASETS` names, or the table itself.
        labels: Another table, in `folder` or anywhere else.
        images: Another folder of images, in `folder` or anywhere else.
        uncertain: Replacement of the label -1: NaN, 0 or 1; "keep" leaves -1 for the rules of a recipe.
        schema: Findings to read instead of the data set's own. For "csv" they are those of a model; those without
            labels are NaN.
        columns: Names of the columns, for "csv"; and whether facts are read from headers of DICOM images.
        say: Called with each sentence on what was understood.

    Raises:
        UnknownNameError: `dataset` is none of `DATASETS`.
        FileNotFoundError: `folder` does not exist.
        TableError: The table or its images were not found, or the table is invalid.

    Example:
        >>> import tempfile, warnings
        >>> from zoo.labels.findings import FINDINGS
        >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        ...     (Path(folder) / "train2").mkdir()
        ...     _ = (Path(folder) / "train2" / "0001.png").write_bytes(b"")
        ...     _ = (Path(folder) / "train2.csv").write_text(f"Image_name,{','.join(FINDINGS)}\\n0001{',1' * 14}\\n")
        ...     table = read_table("competition", folder)
        >>> table["Image_name"].tolist(), table["Image_path"][0].endswith("0001.png")
        (['0001'], True)
    """
    if dataset not in DATASETS:
        raise UnknownNameError("dataset", dataset, DATASETS)
    if uncertain not in _UNCERTAIN:
        raise UsageError(f"uncertain must be one of {', '.join(map(repr, _UNCERTAIN))}, got {uncertain!r}")
    home, given = home_of(folder), Path(folder).expanduser().absolute()
    csv = given if labels is None and given.is_file() else _given(home, labels)
    found, columns = DATASETS[dataset], columns or TableSpec()
    if columns.names_columns and dataset != "csv":
        raise UsageError(f"columns are named for --dataset csv; {dataset!r} has its own")
    folder_of_images = _given(home, images or columns.images or None)
    files = Files(home, csv, folder_of_images, schema or found.schema, columns, say or (lambda text: None))
    table = found.read(files)
    if columns.headers:
        from zoo.data.tables.headers import with_header_facts

        table = with_header_facts(table, files.say)
    own = findings_of(table)
    return table if uncertain == "keep" else table.replace(dict.fromkeys(own, -1.0), _UNCERTAIN[uncertain])


def dataset_of(data: str | Path, dataset: str | None, default: str = "", columns: TableSpec | None = None) -> str:
    """The format of a table: the given one; "csv" if columns are named; a recipe's; or what the files' names tell.

    Args:
        data: Folder of images and table, or the table.
        dataset: The given format, or None.
        default: Format in a recipe; the default of recipes, "competition", gives way to the name of a table.
        columns: Names of the columns.

    Example:
        >>> dataset_of("labels", None), dataset_of("labels", None, "competition"), dataset_of("labels", "nih")
        ('csv', 'competition', 'nih')
    """
    if dataset is not None:
        return dataset
    if columns is not None and columns.names_columns:
        return "csv"
    path = Path(data).expanduser()
    return recognise(path) if not default or (path.is_file() and default == "competition") else default


def home_of(data: str | Path) -> Path:
    """The absolute folder of data that are named by their folder or by their table.

    Raises:
        FileNotFoundError: There is neither.
    """
    path = Path(data).expanduser().absolute()
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such folder")
    return path if path.is_dir() else path.parent


def findings_of(table: pd.DataFrame) -> tuple[str, ...]:
    """The findings of a canonical table, in order.

    Example:
        >>> findings_of(pd.DataFrame({"Image_name": ["a"], "Edema": [1.0]}))
        ('Edema',)
    """
    return tuple(column for column in table.columns if column not in COLUMNS)


def labels_of(table: pd.DataFrame, findings: Sequence[str], *, uncertain: bool = False) -> np.ndarray:
    """Returns the labels as float32 (n, k) of 1, 0 and NaN, in the order of `findings`.

    An uncertain label (-1) is NaN here: no metric, split or decision counts what nobody asserted.

    Args:
        table: A canonical table.
        findings: Columns to return.
        uncertain: Whether to return -1 for uncertain labels, for `zoo.labels.uncertain.targets`.

    Raises:
        UnknownNameError: The table has no column of a finding.

    Example:
        >>> labels_of(pd.DataFrame({"Edema": [1.0, np.nan], "Fracture": [0.0, 1.0]}), ["Fracture", "Edema"]).tolist()
        [[0.0, 1.0], [1.0, nan]]
    """
    known = findings_of(table)
    for finding in findings:
        if finding not in known:
            raise UnknownNameError("finding", finding, known)
    labels = table[list(findings)].to_numpy(np.float32)
    return labels if uncertain else np.where(labels == UNCERTAIN, np.float32(np.nan), labels)


def check_learnable(labels: np.ndarray, findings: Sequence[str]) -> list[str]:
    """Lists the findings that cannot be learned because `labels` has no positive or no negative of them.

    Args:
        labels: (n, k) of 1, 0 and NaN of the training part.
        findings: Names of the k findings.

    Raises:
        TableError: No finding has both a positive and a negative.

    Example:
        >>> check_learnable(np.array([[1, 0], [0, 0]]), ["Edema", "Fracture"])
        ['Fracture']
    """
    lacking = ~((labels == 1).any(0) & (labels == 0).any(0))
    if lacking.all():
        raise TableError(f"none of {len(findings)} findings has both a positive and a negative in {len(labels)} rows")
    return [finding for finding, lacks in zip(findings, lacking, strict=True) if lacks]


def drop_missing(table: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drops the rows whose image does not exist, and the competition's known broken images.

    Returns:
        The remaining table, and the dropped rows as `Image_name` and `Reason`.

    Raises:
        TableError: No row is left; names the folder that was searched.
    """
    known_broken = set(map(stem, KNOWN_BROKEN))
    reasons = pd.Series("", index=table.index, dtype=object)
    for row, (path, name, source) in enumerate(zip(table.Image_path, table.Image_name, table.Source, strict=True)):
        if stem(file_name(name)) in known_broken and source.startswith("competition"):
            reasons.iat[row] = "known to be broken in Division B"
        elif not is_file(path):
            reasons.iat[row] = NOT_LOCAL if is_address(name) else "no such file"
    return _drop(table, reasons)


def drop_unreadable(table: pd.DataFrame, reasons: Mapping[str, str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drops the rows whose image cannot be read.

    Args:
        table: A canonical table.
        reasons: Path of an unreadable image -> reason.

    Returns:
        The remaining table, and the dropped rows as `Image_name` and `Reason`.

    Raises:
        TableError: No row is left.

    Example:
        >>> table = pd.DataFrame({"Image_path": ["/a.png", "/b.png"], "Image_name": ["a", "b"]})
        >>> kept, dropped = drop_unreadable(table, {"/b.png": "truncated"})
        >>> kept["Image_name"].tolist(), dropped["Reason"].tolist()
        (['a'], ['truncated'])
    """
    return _drop(table, table.Image_path.map(lambda path: reasons.get(path, "")))


def fill_original(table: pd.DataFrame) -> pd.DataFrame:
    """Returns ages and sexes filled as in the original solution: `Image_name`, `Age_filled` and `Sex_filled`.

    Missing values become the mean age and the most frequent sex of the whole table (of two equally frequent sexes, the
    first in alphabetical order). The result is a separate table so that no filled value is taken for a known one: no
    model is trained on these columns, and no report reads them.

    Example:
        >>> table = pd.DataFrame({"Image_name": ["a", "b"], "Age": [40.0, np.nan], "Sex": ["F", np.nan]})
        >>> fill_original(table)[["Age_filled", "Sex_filled"]].values.tolist()
        [[40.0, 'F'], [40.0, 'F']]
    """
    mode = table["Sex"].mode()
    sex = table["Sex"].fillna(mode.iloc[0]) if len(mode) else table["Sex"]
    age = table["Age"].fillna(table["Age"].mean())
    return pd.DataFrame({"Image_name": table["Image_name"], "Age_filled": age, "Sex_filled": sex})


def _given(home: Path, path: str | Path | None) -> Path | None:
    if path is None:
        return None
    inside = home / path
    return inside if inside.exists() else Path(path).expanduser().absolute()


def _drop(table: pd.DataFrame, reasons: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    out = (reasons != "").to_numpy()
    skipped = pd.DataFrame({"Image_name": table.Image_name[out].to_numpy(), "Reason": reasons[out].to_numpy()})
    if len(table) and out.all():
        path = Path(str(table.Image_path.iat[0]))
        raise TableError(
            f"{path.parent}: none of {counted(len(table), 'image')} can be used ({path.name}: {reasons.iat[0]})"
        )
    return table[~out].reset_index(drop=True), skipped
