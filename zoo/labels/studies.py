"""Which images are of one study (one examination of a patient): from a table's columns, file names or folders."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from zoo.core.paths import file_name, path_key, stem
from zoo.labels.facts import is_unknown, names_patient

#: File names of the competition: patient, study and image, such as "00043046_001_001.jpg".
_NAME = re.compile(r"(\d+_\d+)_\d+")


def study_of_name(name: str) -> str:
    """Returns the study in a file name by the competition's rule, `<patient>_<study>_<image>`, or "" for another name.

    All three are digits: a name such as "chest_lateral_2.png" says nothing of a study.

    Example:
        >>> study_of_name("test2/00000042_001_002.jpg"), study_of_name("00000042_001.png")
        ('00000042_001', '')
    """
    match = _NAME.fullmatch(stem(file_name(name)))
    return match[1] if match else ""


def study_of_folder(path: str) -> str:
    """Returns the folder of an image as its study, with as much of the path as is given; "" without a folder.

    Example:
        >>> study_of_folder("p7/study1/view1.png"), study_of_folder("view1.png")
        ('p7/study1', '')
    """
    return "/".join(reversed(path_key(path)[1:]))


def studies_of_columns(patients: Sequence[object], studies: Sequence[object]) -> np.ndarray:
    """Returns the study of each row of a table, (n,) str, "" where it is unknown.

    Numbers of studies often begin anew with each patient, so a study is named by both: "<patient>_<study>". Without a
    patient it is unknown, unless no row names a patient: then the identifiers must be unique by themselves.

    Args:
        patients: n identifiers of patients; missing ones as NaN or text.
        studies: n identifiers of studies.

    Example:
        >>> studies_of_columns(["7", "7", "8", "nan"], ["1", "2", "1", "1"]).tolist()
        ['7_1', '7_2', '8_1', '']
    """
    whose = [str(patient) if names_patient(str(patient)) else "" for patient in patients]
    which = ["" if is_unknown(str(study)) else str(study) for study in studies]
    if not any(whose):
        return np.array(which, str)
    named = [f"{p}_{s}" if p and s else "" for p, s in zip(whose, which, strict=True)]
    return np.array(named, str)
