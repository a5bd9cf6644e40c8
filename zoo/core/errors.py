"""Errors that teach: what was wrong, what came, what would be right.

Every error that a user can mend is a `ZooError`, and also the built-in error that Python code expects there. Whatever
else leaves the package is a fault of the package.
"""

from __future__ import annotations

from collections.abc import Iterable


class ZooError(Exception):
    """The base of every error that the user can mend; its text is one line.

    >>> from zoo.core.errors import TableError, ZooError
    >>> issubclass(TableError, ZooError) and issubclass(TableError, ValueError)
    True
    """


class UnknownNameError(ZooError, KeyError):
    """A name that is not in a table; says the closest ones and the whole list.

    Args:
        kind: What the name should have been, such as "backbone".
        name: What came.
        known: The names that would have been right.
        hint: A last sentence on what to do.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name, self.known, self.hint = kind, name, sorted(known), hint
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

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        # Exceptions are pickled by their message alone, which the constructor does not take.
        return type(self), (self.kind, self.name, self.known, self.hint)


class UsageError(ZooError, ValueError):
    """A value that a function or command does not take; says what came and what would be right."""


class UsageTypeError(ZooError, TypeError):
    """A value of a type that a function does not take; names the types that it takes."""


class StateError(ZooError, RuntimeError):
    """Something that cannot be done here or now, such as predicting after a fork; says where it can."""


class MissingExtraError(ZooError, ImportError):
    """A library that is not installed; says the command that installs it.

    Args:
        what: What needs the library, such as "the report's figures".
        library: The library that is missing.
        extra: The extra of xrayslam-zoo that brings it.
        hint: A last sentence on what else would do.

    >>> from zoo.core.errors import MissingExtraError
    >>> print(MissingExtraError("Parquet", "pyarrow", "parquet", "or write .csv"))
    Parquet needs pyarrow, which is not installed: pip install 'xrayslam-zoo[parquet]', or write .csv
    """

    def __init__(self, what: str, library: str, extra: str, hint: str = "") -> None:
        self.what, self.library, self.extra, self.hint = what, library, extra, hint
        rest = f", {hint}" if hint else ""
        message = f"{what} needs {library}, which is not installed: pip install 'xrayslam-zoo[{extra}]'{rest}"
        super().__init__(message)

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        return type(self), (self.what, self.library, self.extra, self.hint)


class EvaluationError(ZooError, ValueError):
    """Labels, predictions or groups that cannot be evaluated as asked; says what they lack."""


class TableError(ZooError, ValueError):
    """A label table (CSV) that cannot be read as asked; names the file, and the row or column."""


class ImageError(ZooError, ValueError):
    """A file that is not a readable image; names the file and the reason."""


class CacheError(ZooError, ValueError):
    """A cache of decoded films that cannot be used or filled as asked; names its folder."""


class SplitError(ZooError, ValueError):
    """A split that cannot be made, or that is not the one a step must use."""


class RecipeError(ZooError, ValueError):
    """A recipe or an override of it that cannot be used; names the field."""


class WeightsError(ZooError, ValueError):
    """Weights that are missing, cannot be fetched, or belong to another model."""


class CheckpointError(ZooError, ValueError):
    """A run folder, or a file in the making, that cannot be resumed as asked."""


class TrainingError(ZooError, ValueError):
    """Training that cannot go on; names the stage and epoch."""


class ReleaseError(ZooError, ValueError):
    """A release that is incomplete, of another model, of a newer format, or does not say what it must."""


class IntegrityError(ReleaseError):
    """A file of a release that is missing, or is not the one its manifest lists."""


class ExportError(ZooError, ValueError):
    """A model that cannot be exported, or an export that is not the model; says where and by how much."""


class HubError(ReleaseError):
    """A Hub, or the cache of it, cannot give or take what was asked."""


def closest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """The up to `n` names of `known` nearest to `name`, compared without case; best first."""
    import difflib  # only here: importing the package stays free

    lowered = {k.lower(): k for k in known}
    return [lowered[m] for m in difflib.get_close_matches(name.lower(), lowered, n=n, cutoff=0.6)]
