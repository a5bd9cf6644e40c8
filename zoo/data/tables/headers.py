"""Facts from the headers of DICOM images, for rows of a table that lacks them; read only when that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from zoo.core.errors import ImageError
from zoo.core.paths import is_file
from zoo.core.warn import warn_user
from zoo.data.images.dicom_header import HeaderFacts, Identifiers, hashed, is_dicom, read_facts
from zoo.data.tables.views import view_columns
from zoo.labels import facts as facts_of

_NOTHING = HeaderFacts(), Identifiers()


def with_header_facts(table: pd.DataFrame, say: Callable[[str], None]) -> pd.DataFrame:
    """Fills facts that a canonical table lacks from the headers of its DICOM images, and says how many.

    Sex, age and view are filled row by row. Patient and study are filled only if no row of the table names one, since
    the identifiers of a header and of a table may name the same patient differently; they are hashed
    (`dicom_header.hashed`), so that no identifier of a header enters a split, a cache or a result.

    Args:
        table: Canonical table; it is not changed.
        say: Called with each sentence on what was filled.

    Returns:
        The table with the further facts.
    """
    read = [_read(path) for path in table["Image_path"]]
    headers = sum(one is not _NOTHING for one in read)
    say(f"headers of DICOM images read: {headers:,} of {len(table):,}")
    if not headers:
        return table
    facts, ids = [one[0] for one in read], [one[1] for one in read]
    sexes, ages = facts_of.sexes([one.sex for one in facts]), facts_of.ages([one.age for one in facts])
    views, notes = view_columns([one.view for one in facts])
    for note in (*sexes.notes("Patient's Sex"), *ages.notes("Patient's Age"), *notes):
        warn_user(f"headers of DICOM images: {note}")
    known = facts_of.names_patient
    found: dict[str, Sequence[object] | np.ndarray] = {
        "Patient_ID": [hashed(one.patient) if known(one.patient) else np.nan for one in ids],
        "Study": [hashed(one.study) if one.study else np.nan for one in ids],
        "Sex": [sex or np.nan for sex in sexes.values],
        "Age": ages.values,
        **{column: [text or np.nan for text in texts] for column, texts in views.items()},
    }
    filled = table.copy()
    for column, values in found.items():
        filled[column] = _filled(table[column], values, column, say)
    return filled


def _filled(
    own: pd.Series, values: Sequence[object] | np.ndarray, column: str, say: Callable[[str], None]
) -> pd.Series:
    more = pd.Series(list(values), index=own.index, dtype=own.dtype)
    if column in ("Patient_ID", "Study") and own.notna().any():
        if lacking := int((own.isna() & more.notna()).sum()):
            say(f"{column} was not filled in {lacking:,} rows, since others name it in the table")
        return own
    count = int((own.isna() & more.notna()).sum())
    if count:
        say(f"{column} from headers of DICOM images in {count:,} rows")
    return own.where(own.notna(), more)


def _read(path: str) -> tuple[HeaderFacts, Identifiers]:
    try:
        return read_facts(path) if is_file(path) and is_dicom(path) else _NOTHING
    except ImageError:  # the image itself is reported when it is read
        return _NOTHING
