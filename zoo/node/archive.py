"""Where results go: the archive, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from zoo.core.errors import ZooError


class UnreachableError(ZooError):
    """The archive cannot be reached, or is out of resources: to be tried again, for as long as it takes."""


class RefusedError(ZooError):
    """The archive refused a result; the message has no identifier."""


class Archive(Protocol):
    """Something that stores results."""

    def send(self, results: Sequence[Path], confirmed: Callable[[Path], None]) -> None:
        """Sends results of one study.

        Args:
            results: DICOM files.
            confirmed: Called with each that the archive has confirmed.

        Raises:
            UnreachableError: It cannot be reached.
            RefusedError: It refused one of them; the others were sent.
        """
        raise NotImplementedError
