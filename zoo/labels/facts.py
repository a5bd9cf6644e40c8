"""Reads facts about images from tables and file names: patient, sex, age, labels and archive of origin.

Training and evaluation both use this module. Unknown facts stay unknown; text that is not understood is counted and
reported, never guessed.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from zoo.core.counting import counted
from zoo.core.csv import MISSING

#: Ages above this, in years, are typing errors (NIH's first release has 414) and are not understood.
OLDEST = 120.0

#: An open limit such as "90+" is accepted from this age on, since all greater ages are in the same band of a report.
OPEN_FROM = 80.0

#: Further texts that mean an unknown fact, beside `zoo.core.csv.MISSING`.
_UNKNOWN = MISSING | {
    *("-", "--", ".", "?", "#n/a", "nat", "n.a.", "n.a", "unknown", "unk", "unbekannt", "inconnu", "not known"),
    *("not specified", "not stated", "not available", "missing", "undefined", "unspecified"),
    *("k.a.", "k. a.", "keine angabe", "not recorded", "not reported", "nil", "(null)", "\\n", "#na", "#ref!"),
    *("#value!", "#n/a n/a", "-nan", "1.#qnan", "-1.#qnan", "1.#ind", "-1.#ind", "[]", "{}", "()"),
}

#: A text of these signs alone, such as "--" or "??", means an unknown fact too.
_NO_WORD = re.compile(r"[-\u2013\u2014_.?]+")

#: What is written over a removed patient, such as "XXXX", "***" or "[redacted]".
_STRUCK_OUT = re.compile(r"x{3,}|[*#]+|[\[<(].*(?:redacted|removed|anonymi[sz]ed).*[\])>]")

_NO_PATIENT = _UNKNOWN | {
    *("anon", "anonymous", "anonymized", "anonymised", "anonymous patient", "anonymous^patient", "anonymisiert"),
    *("deidentified", "de-identified", "removed", "redacted", "no name", "no id", "none given", "not given"),
    *("-1", "-9", "-99", "-999", "-9999", "-1.0", "-9.0", "-99.0", "-999.0", "-9999.0"),
}

_OWN = "unknown: "

#: Keys are in lower case without punctuation. "w" is the German "weiblich"; "o" is DICOM's "other".
_SEXES = {
    **dict.fromkeys(("f", "female", "w", "woman", "weiblich", "frau", "femme", "femenino", "feminin", "mujer"), "F"),
    **dict.fromkeys(("féminin", "femminile", "girl", "vrouw", "femelle", "feminino", "fem", "vrouwelijk"), "F"),
    **dict.fromkeys(("weibl", "donna", "kvinna", "kvinde", "kvinne"), "F"),
    **dict.fromkeys(("m", "male", "man", "mann", "männlich", "mannlich", "maennlich", "homme", "hombre"), "M"),
    **dict.fromkeys(("masculin", "masculino", "maschile", "boy", "mâle", "mannelijk", "masc"), "M"),
    **dict.fromkeys(("männl", "uomo"), "M"),
    **dict.fromkeys(("o", "other", "divers", "diverse", "nonbinary", "intersex"), "O"),
}
#: Words for a label, in lower case; the spreadsheet's TRUE and FALSE in some languages are among them.
LABEL_WORDS: Mapping[str, float] = {
    **dict.fromkeys(("yes", "y", "true", "positive", "pos", "present", "ja", "oui", "si", "sí", "sim"), 1.0),
    **dict.fromkeys(("wahr", "vrai", "verdadero", "verdadeiro", "vero", "waar", "sand", "sant"), 1.0),
    **dict.fromkeys(("no", "n", "false", "negative", "neg", "absent", "nein", "non", "não", "nee", "nej", "nei"), 0.0),
    **dict.fromkeys(("falsch", "faux", "falso", "onwaar", "falsk", "falskt"), 0.0),
    **dict.fromkeys(("uncertain", "equivocal", "possible", "indeterminate", "unsicher", "fraglich"), -1.0),
}

#: Letter for an unknown sex in DICOM and in many tables.
_NO_SEX = _UNKNOWN | {"u"}

#: A sex written as a number.
_CODE = re.compile(r"\d(\.0)?")

_NUMBER = r"(\d+(?:[.,]\d+)?)"
_UNITS = {
    **dict.fromkeys(("", "y", "yr", "yrs", "year", "years", "yo", "y/o", "years old", "j", "jahre", "ans"), 1.0),
    **dict.fromkeys(("m", "mo", "mos", "month", "months", "monate", "mois"), 12.0),
    **dict.fromkeys(("w", "wk", "wks", "week", "weeks", "wochen", "semaines"), 52.18),
    **dict.fromkeys(("d", "day", "days", "tage", "jours"), 365.25),
}
_AGE = re.compile(rf"{_NUMBER}\s*({'|'.join(sorted(map(re.escape, _UNITS), key=len, reverse=True))})\.?")
_OPEN = re.compile(
    rf"(>=|≥|at least|>|over|above|older than)?\s*{_NUMBER}\s*(?:y|yrs?|years?)?"
    r"\s*(\+|and (?:over|above|older)|or (?:over|older|more))?"
)
#: Words for an open limit that exclude the number itself.
_BEYOND = (">", "over", "above", "older than")

#: File names of competition images from NIH's archive, as found by inspection; the others resemble CheXpert's.
_FROM_NIH = re.compile(r"200\d*_\d+_000(\.\w+)?")


@dataclass(frozen=True, eq=False)
class Facts:
    """Values of one fact, one per row.

    Attributes:
        values: (n,) object array of str, "" if unknown; or float64, NaN if unknown.
        not_understood: Text -> number of rows with it, which count as unknown.
        assumed: Text -> number of rows in which it was read as a value that it does not state exactly.
    """

    values: np.ndarray
    not_understood: Mapping[str, int] = field(default_factory=dict)
    assumed: Mapping[str, int] = field(default_factory=dict)

    def notes(self, what: str) -> list[str]:
        """Returns the sentences that a reader of the report needs; `what` names the column."""
        found = []
        if self.not_understood:
            found.append(f"{what}: not understood, counted as unknown: {_counted(self.not_understood)}")
            if what.lower().endswith(("sex", "gender")) and any(
                _CODE.fullmatch(text.strip()) for text in self.not_understood
            ):
                found[0] += "; the numbers mean other things in other tables: write M and F"
        if self.assumed:
            found.append(f"{what}: an open limit, read as the lowest age it allows: {_counted(self.assumed)}")
        return found


def sexes(texts: Iterable[str]) -> Facts:
    """Reads the sex of each row: "F", "M", "O" (other, as in DICOM), or "" if it is unknown.

    Words and letters of several languages are read in any case, with or without a full stop. Numbers are not read: 1
    means male in ISO 5218 but female in other tables.

    Example:
        >>> found = sexes(["Männlich", "m.", "W", "", "nan", "1", "2"])
        >>> found.values.tolist(), dict(found.not_understood)
        (['M', 'M', 'F', '', '', '', ''], {'1': 1, '2': 1})
    """
    return _read(texts, _sex, "")


def ages(texts: Iterable[str]) -> Facts:
    """Reads the age of each row in years (float64), NaN if it is unknown.

    Accepted are "58", "58.0", "58 years", and DICOM's "058Y", "018M", "006W" and "012D". An open limit of at least
    `OPEN_FROM` years ("90+", ">89") is read as the lowest age that it allows and counted in `assumed`; a lower open
    limit is not understood, since the ages above it fall into different bands.

    Example:
        >>> found = ages(["058Y", "018M", ">89", "nan", "65+", "414"])
        >>> found.values.tolist(), dict(found.not_understood)
        ([58.0, 1.5, 90.0, nan, nan, nan], {'65+': 1, '414': 1})
    """
    return _read(texts, _age, np.nan)


def patients(texts: Sequence[str], images: Sequence[str]) -> np.ndarray:
    """Returns the patient of each row, (n,) object array; an unknown patient is named after the image.

    Args:
        texts: Identifiers as they are in the table.
        images: Names of the rows' images, distinct.

    Example:
        >>> patients(["7", "nan", "NA", "7"], ["a", "b", "c", "d"]).tolist()
        ['7', 'unknown: b', 'unknown: c', '7']
    """
    named = [text if names_patient(text) else own_patient(image) for text, image in zip(texts, images, strict=True)]
    return np.array(named, object)


def names_patient(text: str) -> bool:
    """Whether a text names a patient; "nan", "NA", "unknown" and "anonymous" name none (and not one common patient).

    >>> names_patient("7"), names_patient("anonymous")
    (True, False)
    """
    plain = _plain(text)
    if plain in _NO_PATIENT or plain.startswith(_OWN):
        return False
    return not (_NO_WORD.fullmatch(plain) or _STRUCK_OUT.fullmatch(plain))


def own_patient(image: str) -> str:
    """Returns the patient of an image whose patient is unknown: a separate one, grouped with no other image.

    >>> own_patient("b")
    'unknown: b'
    """
    return f"{_OWN}{image}"


def is_unknown(text: str) -> bool:
    """Whether a text means that a fact is unknown, such as "", "NaN", "N/A", "-" or "unknown".

    >>> is_unknown("N/A"), is_unknown("58")
    (True, False)
    """
    plain = _plain(text)
    return plain in _UNKNOWN or _NO_WORD.fullmatch(plain) is not None


def label(text: str) -> float | None:
    """Reads a label: 1.0, 0.0 or -1.0 (uncertain, as in CheXpert), NaN if there is none, None if it is not understood.

    Read are numbers, with a decimal point or comma, and the words of `LABEL_WORDS` in any case.

    Example:
        >>> [label(text) for text in ("1", "0,0", "-1.0", "NaN", "Yes", "FALSE", "uncertain", "mild")]
        [1.0, 0.0, -1.0, nan, 1.0, 0.0, -1.0, None]
    """
    if is_unknown(text):
        return np.nan
    plain = _plain(text)
    if plain in LABEL_WORDS:
        return LABEL_WORDS[plain]
    try:
        return value if (value := float(plain.replace(",", "."))) in (0.0, 1.0, -1.0) else None
    except ValueError:
        return None


def archives(names: Sequence[str]) -> list[str] | None:
    """Returns the archive of each competition image by its name, or None unless both archives are among them.

    The competition mixes images of two archives. A network can tell them apart in nearly every image, and their labels
    differ: a predictor that knows only the archive reaches a mean AUC of about 0.63. Report results by archive.

    Example:
        >>> archives(["2001_1_000.jpg", "00000042_001_001.jpg"])
        ['competition-nih', 'competition-chexpert']
    """
    nih = [_FROM_NIH.fullmatch(name) is not None for name in names]
    return ["competition-nih" if own else "competition-chexpert" for own in nih] if any(nih) and not all(nih) else None


def _read(texts: Iterable[str], reads: Callable[[str], tuple[object, bool]], unknown: object) -> Facts:
    """Reads each distinct text once; `reads` returns its value (None if not understood) and whether it was assumed."""
    given = list(texts)
    counts = Counter(given)
    meaning = {text: (unknown, False) if is_unknown(text) else reads(_plain(text)) for text in counts}
    values = [unknown if meaning[text][0] is None else meaning[text][0] for text in given]
    return Facts(
        np.array(values, object if isinstance(unknown, str) else np.float64),
        {text: n for text, n in counts.items() if meaning[text][0] is None},
        {text: n for text, n in counts.items() if meaning[text][1]},
    )


def _sex(text: str) -> tuple[str | None, bool]:
    if text in _NO_SEX:
        return "", False
    return _SEXES.get(text.rstrip(".").replace("-", "")), False


def _age(text: str) -> tuple[float | None, bool]:
    if match := _AGE.fullmatch(text):
        years = _number(match[1]) / _UNITS[match[2]]
        return (years if years <= OLDEST else None), False
    match = _OPEN.fullmatch(text)
    if match and bool(match[1]) != bool(match[3]):
        limit = _number(match[2]) + (match[1] in _BEYOND)
        return (limit, True) if OPEN_FROM <= limit <= OLDEST else (None, False)
    return None, False


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _plain(text: str) -> str:
    """Normalises text: lower case, NFKC characters, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).lower().split())


def _counted(texts: Mapping[str, int], most: int = 5) -> str:
    often = sorted(texts.items(), key=lambda item: -item[1])
    shown = ", ".join(f"{text[:40]!r} ({n:,})" for text, n in often[:most])
    rows, rest = sum(texts.values()), sum(n for _, n in often[most:])
    return f"{counted(rows, 'row')}: {shown}" + (f", and {rest:,} with other texts" if rest else "")
