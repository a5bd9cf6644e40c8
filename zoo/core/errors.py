"""Errors that teach: what was wrong, what came, what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UnknownNameError(KeyError):
    """A name that is not in a table; says the closest ones and the whole list.

    Args:
        kind: What the name should have been, such as "backbone".
        name: What came.
        known: The names that would have been right.
        hint: A last sentence on what to do.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name, self.known = kind, name, sorted(known)
        message = f"unknown {kind} {name!r}"
        close = closest(str(name), self.known)
        message += f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else "."
        if self.known:
            message += f" Known: {', '.join(self.known)}."
        if hint:
            message += f" {hint}"
        self.message = message
        super().__init__(message)

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return self.message


class TableError(ValueError):
    """A label table (CSV) that cannot be read as asked; names the file, and the row or column."""


class ImageError(ValueError):
    """A file that is not a readable image; names the file and the reason."""


class CacheError(ValueError):
    """A cache of decoded films that cannot be used or filled as asked; names its folder."""


class SplitError(ValueError):
    """A split that cannot be made, or that is not the one a step must use."""


class RecipeError(ValueError):
    """A recipe or an override of it that cannot be used; names the field."""


class WeightsError(ValueError):
    """Weights that are missing, cannot be fetched, or belong to another model."""


class CheckpointError(ValueError):
    """A run folder, or a file in the making, that cannot be resumed as asked."""


class TrainingError(ValueError):
    """Training that cannot go on; names the stage and epoch."""


class ReleaseError(ValueError):
    """A release that is incomplete, of another model, of a newer format, or does not say what it must."""


class IntegrityError(ReleaseError):
    """A file of a release that is missing, or is not the one its manifest lists."""


class ExportError(ValueError):
    """A model that cannot be exported, or an export that is not the model; says where and by how much."""


class HubError(ReleaseError):
    """A Hub, or the cache of it, cannot give or take what was asked."""


def closest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """The up to `n` names of `known` nearest to `name`, compared without case; best first."""
    lowered = {k.lower(): k for k in known}
    return [lowered[m] for m in difflib.get_close_matches(name.lower(), lowered, n=n, cutoff=0.6)]
