"""Converts tables with one row per image and finding, as `zoo predict` writes them, to one row per image."""

from __future__ import annotations

from zoo.core.csv import CsvColumns
from zoo.labels.columns import IMAGE_IDS

#: Text in the table for a finding that had no positive image in training, so that its output has no meaning.
UNTRAINED = "not trained"


def widen(table: CsvColumns) -> CsvColumns:
    """Gives each finding a column; a table without the columns "finding" and "probability" is returned unchanged.

    Findings marked "not trained" are left out.

    Raises:
        TableError: An image has two rows for the same finding.

    Example:
        >>> from pathlib import Path
        >>> long = {"image": ("a", "a"), "finding": ("Edema", "Mass"), "probability": (".4", ".1")}
        >>> dict(widen(CsvColumns(Path("f.csv"), (2, 3), long)).columns)
        {'image': ('a',), 'Edema': ('.4',), 'Mass': ('.1',)}
    """
    image, finding, value = table.header(*IMAGE_IDS), table.header("finding"), table.header("probability", "logit")
    if image is None or finding is None or value is None:
        return table
    error = table.header("error")
    marks = table.columns[error] if error is not None else ("",) * len(table)
    untrained = {f for f, m in zip(table.columns[finding], marks, strict=True) if m == UNTRAINED}
    names = [f for f in dict.fromkeys(table.columns[finding]) if f not in untrained]
    first: dict[str, int] = {}
    cells: dict[tuple[str, str], str] = {}
    for row, key in enumerate(zip(table.columns[image], table.columns[finding], strict=True)):
        if key in cells:
            raise table.error(row, finding, f"{key[0]!r} has {key[1]!r} twice")
        first.setdefault(key[0], row)
        cells[key] = table.columns[value][row]
    prefix = "logit_" if value.lower() == "logit" else ""
    columns = {image: tuple(first)} | {prefix + f: tuple(cells.get((i, f), "") for i in first) for f in names}
    return CsvColumns(table.path, tuple(table.lines[row] for row in first.values()), columns)
