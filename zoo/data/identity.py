"""What data a run was trained on: the labels and the content of every image, kept so that a change can be named."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zoo.core.errors import CheckpointError
from zoo.core.files import content_key, write_text
from zoo.data.tables.reading import labels_of

FORMAT = 1

#: Names that a message shows of each kind of change.
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class DataIdentity:
    """The data of a run.

    Attributes:
        findings: Whose labels these are.
        labels: Image name -> its labels, a character a finding: "1", "0", or "-" where unknown.
        digests: Image name -> digest of its file (`zoo.data.contents`), "" where it was not taken.
    """

    findings: tuple[str, ...]
    labels: Mapping[str, str]
    digests: Mapping[str, str]

    @classmethod
    def of(
        cls, table: pd.DataFrame, findings: Sequence[str], digest_of: Mapping[str, str] | None = None
    ) -> DataIdentity:
        """The identity of a canonical table.

        Args:
            table: With the columns `Image_name`, `Image_path` and the findings.
            findings: Whose labels count.
            digest_of: Path -> digest of the file; None where contents are not known.
        """
        names, labels = table["Image_name"].astype(str), labels_of(table, findings)
        letters = np.where(np.isnan(labels), "-", np.where(labels == 1, "1", "0"))
        texts = ["".join(row) for row in letters.tolist()]
        known = digest_of or {}
        digests = [known.get(str(path), "") for path in table["Image_path"]]
        return cls(
            tuple(findings),
            dict(zip(names, texts, strict=True)),
            dict(zip(names, digests, strict=True)),
        )

    @property
    def key(self) -> dict[str, str]:
        """A hash of the labels and one of the contents ("" where not all are known), for a checkpoint."""
        whole = bool(self.digests) and all(self.digests.values())
        labels = content_key([self.findings, sorted(self.labels.items())])
        return {"labels": labels, "images": content_key(sorted(self.digests.items())) if whole else ""}

    def changes(self, now: DataIdentity) -> list[str]:
        """What is another in the data of now, a phrase each: labels, contents, images that were added or removed.

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
        for some, what in ((added, "added"), (removed, "removed")):
            found += [f"{_images(some)} {'was' if len(some) == 1 else 'were'} {what}: {_some(some)}"] if some else []
        return found

    def save(self, path: Path) -> None:
        """Writes it as JSON, whole or not at all."""
        images = {name: [text, self.digests.get(name, "")] for name, text in self.labels.items()}
        write_text(path, json.dumps({"format": FORMAT, "findings": self.findings, "images": images}, indent=0) + "\n")

    @classmethod
    def load(cls, path: Path) -> DataIdentity:
        """Reads what `save` wrote.

        Raises:
            CheckpointError: It is not such a file.
        """
        try:
            saved = json.loads(path.read_text("utf-8"))
            labels = {str(name): str(text) for name, (text, _) in saved["images"].items()}
            digests = {str(name): str(digest) for name, (_, digest) in saved["images"].items()}
            return cls(tuple(map(str, saved["findings"])), labels, digests)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CheckpointError(
                f"{path}: not a record of the data that a run was trained on ({type(error).__name__}): use another "
                "run folder (--run)"
            ) from None


def refuse_other_data(before: DataIdentity, now: DataIdentity, run: Path) -> None:
    """Raises where a run would go on with other data than it began with.

    Raises:
        CheckpointError: Labels or contents differ, or images were added or removed; names some of them.
    """
    changes = before.changes(now)
    if changes:
        raise CheckpointError(
            f"{run}: trained on other data than these ({'; '.join(changes)}): give it the data it began with, or use "
            "another run folder (--run)"
        )


def _other(before: str, now: str) -> bool:
    return bool(before and now) and before != now


def _images(names: Sequence[str]) -> str:
    return f"{len(names):,} image{'s' * (len(names) != 1)}"


def _some(names: Iterable[str]) -> str:
    shown = list(names)
    return ", ".join(shown[:_SHOWN]) + (", ..." if len(shown) > _SHOWN else "")
