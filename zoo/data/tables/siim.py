"""Reads the SIIM-ACR Pneumothorax challenge (2019): masks as run lengths, from which the label follows."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.csv import CsvColumns
from zoo.core.dialects import read_any_columns
from zoo.data.tables.public import canonical_table, first_rows
from zoo.labels.findings import LabelSchema

_RUNS = re.compile(r"\d+ \d+(?: \d+ \d+)*")


def read_siim(
    table: Path, images: Path, *, schema: LabelSchema | None = None, say: Callable[[str], None] = lambda text: None
) -> pd.DataFrame:
    """Reads a row for each image: Pneumothorax is 1 if it has a mask and 0 if its mask is "-1". No patient is stated.

    Args:
        table: train-rle.csv (ImageId, EncodedPixels), with a row for each mask.
        images: Folder of the images, named by their DICOM UID.
        schema: The findings wanted; the 14 by default.
        say: Called with a sentence on what was merged.

    Raises:
        TableError: A mask is neither "-1" nor pairs of numbers, or an image has both.
    """
    source = read_any_columns(table)[0]
    ids, masks = source.texts("ImageId"), source.texts("EncodedPixels")
    first = first_rows(ids)
    for row, (image, mask) in enumerate(zip(ids, masks, strict=True)):
        if mask != "-1" and not _RUNS.fullmatch(mask):
            raise source.error(row, "EncodedPixels", f"a mask is -1 or pairs of numbers, got {mask[:40]!r}")
        if (mask == "-1") != (masks[first[image]] == "-1"):
            raise source.error(row, "EncodedPixels", f"{image!r} has a mask and -1 as well")
    rows = list(first.values())
    say(
        f"{table.name}: {len(source):,} masks of {counted(len(rows), 'image')}; several masks of an image are one label"
    )
    say(f"{table.name}: no patient is stated, so images of one person cannot be kept together")
    labels = {"Pneumothorax": np.array([masks[row] != "-1" for row in rows], np.float32)}
    each = CsvColumns(source.path, tuple(source.lines[row] for row in rows), {})
    return canonical_table(each, {"Image_name": tuple(first)}, labels, images, "siim", schema)
