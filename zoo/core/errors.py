"""The errors of the package. A message says what was wrong, what was given, and what would be right.

Every error that a user can correct is a `ZooError`, and also the built-in error that Python code expects in its place.
Any other error that leaves the package is a bug of the package.
"""

from __future__ import annotations

from collections.abc import Iterable

#: Characters of a message at its beginning and at its end that are kept where it is longer: it may quote a cell of a
#: table or a name in a file that has megabytes.
_BEGINNING, _END = 1_500, 400


class ZooError(Exception):
    """Base class of every error that the user can correct; its message is one line, of 2,000 characters at most.

    >>> from zoo.core.errors import TableError, ZooError
    >>> issubclass(TableError, ZooError) and issubclass(TableError, ValueError)
    True
    """

    def __init__(self, *parts: object) -> None:
        super().__init__(*(_bounded(part) if isinstance(part, str) else part for part in parts))


class UnknownNameError(ZooError, KeyError):
    """An unknown name; the message lists the closest names and all known ones.

    Args:
        kind: The kind of name, such as "backbone".
        name: The name that was given.
        known: The known names.
        hint: A final sentence on what to do.

    >>> print(UnknownNameError("backbone", "resnet5", ["resnet50"]))
    unknown backbone 'resnet5'; did you mean 'resnet50'? Known: resnet50.
    """

    def __init__(self, kind: str, name: object, known: Iterable[str], hint: str = "") -> None:
        self.kind, self.name, self.known, self.hint = kind, name, sorted(known), hint
        message = f"unknown {kind} {name!r}"
        close = closest(str(name)[:_BEGINNING], self.known)
        message += f"; did you mean {' or '.join(repr(c) for c in close)}?" if close else "."
        if self.known:
            message += f" Known: {', '.join(self.known)}."
        if hint:
            message += f" {hint}"
        self.message = _bounded(message)
        super().__init__(self.message)

    def __str__(self) -> str:
        # KeyError would show the message in quotes.
        return self.message

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        # By default an exception is pickled with its message only, which is not what the constructor takes.
        return type(self), (self.kind, self.name, self.known, self.hint)


class UsageError(ZooError, ValueError):
    """A value that a function or command does not accept; the message says what was given and what would be right."""


class UsageTypeError(ZooError, TypeError):
    """A value of a type that a function does not accept; the message names the accepted types."""


class StateError(ZooError, RuntimeError):
    """An operation that is impossible in the current state, such as predicting after a fork."""


class MissingExtraError(ZooError, ImportError):
    """A library that is not installed; the message gives the command that installs it.

    Args:
        what: What needs the library, such as "the report's figures".
        library: The missing library.
        extra: The extra of xrayslam-zoo that installs it.
        hint: A final sentence on alternatives.

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


class WriteError(ZooError, OSError):
    """A file or folder that cannot be written: the disk is full, or nothing may be written there.

    The message names it and the reason. What was there before, and what was written of a result that can be resumed,
    stays; the same call goes on when there is room.
    """


class EvaluationError(ZooError, ValueError):
    """Labels, predictions or groups that cannot be evaluated as requested."""


class TableError(ZooError, ValueError):
    """A table (CSV) that cannot be read as requested; the message names the file, and the row or column."""


class ImageError(ZooError, ValueError):
    """A file that is not a readable image; the message names the file and the reason."""


class RejectedError(ImageError):
    """An image that the quality checks reject; the message names the image and the reason."""


class CacheError(ZooError, ValueError):
    """A cache of decoded images that cannot be used or filled as requested; the message names its folder."""


class SplitError(ZooError, ValueError):
    """A split that cannot be made, or that is not the one that a step requires."""


class RecipeError(ZooError, ValueError):
    """A recipe, or an override of one of its fields, that cannot be used; the message names the field."""


class WeightsError(ZooError, ValueError):
    """Weights that are missing, cannot be downloaded, or belong to another model."""


class CheckpointError(ZooError, ValueError):
    """A run folder or an unfinished file that cannot be resumed as requested."""


class TrainingError(ZooError, ValueError):
    """Training that cannot continue; the message names stage and epoch."""


class ReleaseError(ZooError, ValueError):
    """A release that is incomplete, belongs to another model, has a newer format, or lacks required information."""


class IntegrityError(ReleaseError):
    """A file of a release that is missing or differs from its entry in the manifest."""


class ExportError(ZooError, ValueError):
    """A model that cannot be exported, or an export whose outputs differ from the model's."""


class HubError(ReleaseError):
    """A failed download from, or upload to, a Hub."""


def _bounded(message: str) -> str:
    """A message without its middle, where it is too long."""
    if len(message) <= _BEGINNING + _END:
        return message
    return f"{message[:_BEGINNING]} [...] {message[-_END:]}"


def closest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Finds up to `n` names of `known` that are closest to `name`, ignoring case; best first.

    >>> closest("Edma", ["Edema", "Fracture"])
    ['Edema']
    """
    import difflib  # only here: importing the package stays free

    lowered = {k.lower(): k for k in known}
    return [lowered[m] for m in difflib.get_close_matches(name.lower(), lowered, n=n, cutoff=0.6)]
