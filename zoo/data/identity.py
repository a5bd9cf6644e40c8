"""The data of a run: labels, reported facts and file hashes of all images, so that changes are detected and named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zoo.core.counting import counted
from zoo.core.errors import CheckpointError
from zoo.core.files import content_key, write_text
from zoo.data.tables.reading import labels_of
from zoo.labels.uncertain import UNCERTAIN

FORMAT = 1

#: Columns that reports group images by, and how messages call them.
FACTS = {"Sex": "sex", "Age": "age", "ViewPosition": "view", "Source": "source"}

#: Number of image names that a message shows for each kind of change.
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class DataIdentity:
    """Labels, reported facts and file hashes of the images of a run.

    Attributes:
        findings: The findings that are labelled.
        labels: Image name -> its labels, one character per finding: "1", "0", "u" if uncertain, or "-" if unknown.
        digests: Image name -> digest of its file (`zoo.data.contents`), "" if it was not computed.
        facts: Image name -> its `FACTS` as text, "" if unknown; empty for runs of versions that did not store them.
    """

    findings: tuple[str, ...]
    labels: Mapping[str, str]
    digests: Mapping[str, str]
    facts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, table: pd.DataFrame, findings: Sequence[str], digest_of: Mapping[str, str] | None = None
    ) -> DataIdentity:
        """Makes the identity of a canonical table.

        Args:
            table: Table with the columns `Image_name`, `Image_path` and the findings; `FACTS` may be missing.
            findings: The findings whose labels count.
            digest_of: Path -> digest of the file, or None if the files were not hashed.
        """
        names, labels = table["Image_name"].astype(str), labels_of(table, findings, uncertain=True)
        letters = np.select([np.isnan(labels), labels == UNCERTAIN, labels == 1], ["-", "u", "1"], "0")
        texts = ["".join(row) for row in letters.tolist()]
        known = digest_of or {}
        digests = [known.get(str(path), "") for path in table["Image_path"]]
        return cls(
            tuple(findings),
            dict(zip(names, texts, strict=True)),
            dict(zip(names, digests, strict=True)),
            dict(zip(names, _facts(table), strict=True)),
        )

    @property
    def key(self) -> dict[str, str]:
        """One hash of the labels and one of the image files ("" if not all are known), for a checkpoint."""
        whole = bool(self.digests) and all(self.digests.values())
        labels = content_key([self.findings, sorted(self.labels.items())])
        return {"labels": labels, "images": content_key(sorted(self.digests.items())) if whole else ""}

    def changes(self, now: DataIdentity) -> list[str]:
        """Describes how the data differ now: changed labels, facts or contents, and images that were added or removed.

        Example:
            >>> before = DataIdentity(("Edema",), {"a": "1", "b": "0"}, {"a": "00", "b": "11"})
            >>> before.changes(DataIdentity(("Edema",), {"a": "0", "c": "1"}, {"a": "00", "c": "22"}))
            ['labels of 1 image changed: a', '1 image was added: c', '1 image was removed: b']
        """
        both = [name for name in self.labels if name in now.labels]
        relabelled = [n for n in both if self.labels[n] != now.labels[n] and self.findings == now.findings]
        rewritten = [n for n in both if _other(self.digests.get(n, ""), now.digests.get(n, ""))]
        added = [name for name in now.labels if name not in self.labels]
        removed = [name for name in self.labels if name not in now.labels]
        found = [f"labels of {_images(relabelled)} changed: {_some(relabelled)}"] if relabelled else []
        found += [f"contents of {_images(rewritten)} changed: {_some(rewritten)}"] if rewritten else []
        for i, what in enumerate(FACTS.values()):
            other = [n for n in both if n in self.facts and n in now.facts and self.facts[n][i] != now.facts[n][i]]
            found += [f"{what} of {_images(other)} changed: {_some(other)}"] if other else []
        for some, what in ((added, "added"), (removed, "removed")):
            found += [f"{_images(some)} {'was' if len(some) == 1 else 'were'} {what}: {_some(some)}"] if some else []
        return found

    def save(self, path: Path) -> None:
        """Writes it as JSON, atomically."""
        images = {
            name: [text, self.digests.get(name, ""), *([self.facts[name]] if name in self.facts else [])]
            for name, text in self.labels.items()
        }
        write_text(path, json.dumps({"format": FORMAT, "findings": self.findings, "images": images}, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path) -> DataIdentity:
        """Reads a file that `save` wrote.

        Raises:
            CheckpointError: The file has another format.
        """
        try:
            saved = json.loads(path.read_text("utf-8"))
            labels = {str(name): str(text) for name, (text, *_) in saved["images"].items()}
            digests = {str(name): str(digest) for name, (_, digest, *_) in saved["images"].items()}
            facts = {str(name): _stored(rest[0]) for name, (_, _, *rest) in saved["images"].items() if rest}
            return cls(tuple(map(str, saved["findings"])), labels, digests, facts)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{path}: not a record of the data that a run was trained on ({type(error).__name__}): use another "
                "run folder (--run), or start this one anew (--replace)"
            ) from None


def refuse_other_data(before: DataIdentity, now: DataIdentity, run: Path) -> None:
    """Raises if a run would be resumed on data other than those it began with.

    Raises:
        CheckpointError: Labels, facts or contents differ, or images were added or removed; the message names some.
    """
    changes = before.changes(now)
    if changes:
        raise CheckpointError(
            f"{run}: trained on other data than these ({'; '.join(changes)}): resume it with the data it began with, "
            "use another run folder (--run), or start this one anew (--replace)"
        )


def _facts(table: pd.DataFrame) -> list[tuple[str, ...]]:
    blank = [""] * len(table)
    columns = [_texts(table[name]) if name in table.columns else blank for name in FACTS]
    return list(zip(*columns, strict=True))


def _texts(column: pd.Series[Any]) -> list[str]:
    return ["" if pd.isna(value) else f"{value:g}" if isinstance(value, float) else str(value) for value in column]


def _stored(facts: Any) -> tuple[str, ...]:
    if not isinstance(facts, list) or len(facts) != len(FACTS):
        raise ValueError("facts of another version")
    return tuple(map(str, facts))


def _other(before: str, now: str) -> bool:
    return bool(before and now) and before != now


def _images(names: Sequence[str]) -> str:
    return counted(len(names), "image")


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
