"""The parts of a data split, and how files spell them."""

from __future__ import annotations

#: Training fits the weights, validation chooses weights, temperature and thresholds, and test is only evaluated.
PARTS = ("train", "validation", "test")

#: Predictions of images of the training and validation parts, each by a model that was trained without its patient: as
#: good as a validation part to fit a decision on.
OUT_OF_FOLD = "out-of-fold"

#: What a decision may be fitted on.
FITTABLE = ("validation", OUT_OF_FOLD)

#: Stands in a result for a table that is evaluated as a whole: it is no part of a split.
WHOLE = "all"

_SPELLINGS = {
    **dict.fromkeys(("train", "training"), "train"),
    # "tune" occurs in files of early drafts of version 0.1.
    **dict.fromkeys(("validation", "val", "valid", "dev", "tune"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def part_of(text: str) -> str:
    """Returns the part that a text names in any usual spelling, or "" if it names none.

    Example:
        >>> part_of("Valid"), part_of("tune"), part_of("holdout")
        ('validation', 'validation', '')
    """
    return _SPELLINGS.get(text.strip().lower(), "")


def spoken_part(part: str) -> str:
    """Names the evaluated images in a sentence.

    Example:
        >>> spoken_part("test"), spoken_part(WHOLE), spoken_part(OUT_OF_FOLD)
        ('test part', 'all images of the table', 'out-of-fold predictions')
    """
    return {WHOLE: "all images of the table", OUT_OF_FOLD: f"{OUT_OF_FOLD} predictions"}.get(part, f"{part} part")
