"""The study of each row of a canonical table."""

from __future__ import annotations

import numpy as np
import pandas as pd

from zoo.labels.facts import own_patient
from zoo.labels.studies import studies_of_columns, study_of_name


def studies_of(table: pd.DataFrame) -> tuple[np.ndarray, int]:
    """Returns the study of each row, and the number of rows whose study is unknown.

    A study is told by the columns "Patient_ID" and "Study"; where they do not tell it, by the file name's
    `<patient>_<study>_<image>`; and where neither does, the image is a study of its own.

    Args:
        table: Canonical table of n rows.

    Returns:
        (n,) str, and a number of rows.

    Example:
        >>> table = pd.DataFrame({"Image_name": ["a.png", "b.png"], "Patient_ID": ["7", "7"], "Study": ["1", "1"]})
        >>> studies_of(table)[0].tolist()
        ['7_1', '7_1']
    """
    names = table["Image_name"].astype(str).tolist()
    blank = [np.nan] * len(table)
    columns = (table[column].tolist() if column in table else blank for column in ("Patient_ID", "Study"))
    found = studies_of_columns(*columns).tolist()
    found = [study or study_of_name(name) for study, name in zip(found, names, strict=True)]
    unknown = sum(not study for study in found)
    return np.array([study or own_patient(name) for study, name in zip(found, names, strict=True)], str), unknown
