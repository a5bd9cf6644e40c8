"""How images are named in a result: by their files, or, when that is asked for, by identifiers of DICOM headers."""

from __future__ import annotations

from dataclasses import replace

from zoo.core.errors import ImageError, UnknownNameError
from zoo.core.progress import Progress
from zoo.data.images.dicom_header import Ids, hashed, is_dicom, read_facts
from zoo.data.images.limits import Limits
from zoo.inference.stream import Prediction

_KINDS = ("file", "uid", "hash")


class Names:
    """Names of images in the rows of a result.

    Args:
        ids: "file" for the path, which reads no header; "uid" for the SOP Instance UID of a DICOM file; "hash" for a
            hash of it (`zoo.data.images.dicom_header.hashed`). Other files keep their paths and are counted.
        limits: Limits on each image.
    """

    def __init__(self, ids: Ids, limits: Limits) -> None:
        if ids not in _KINDS:
            raise UnknownNameError("choice of ids", ids, _KINDS)
        self.ids, self.limits = ids, limits
        self.others = 0

    def shown(self, batch: Prediction) -> Prediction:
        """The batch with these names, in its errors as well."""
        if self.ids == "file":
            return batch
        names = [self._name(path) for path in batch.names]
        errors = [error.replace(path, name) for path, name, error in zip(batch.names, names, batch.errors, strict=True)]
        return replace(batch, names=names, errors=errors)

    def _name(self, path: str) -> str:
        try:
            uid = read_facts(path, self.limits)[1].image if is_dicom(path) else ""
        except (ImageError, OSError):  # the image has a row with the reason already
            uid = ""
        if not uid:
            self.others += 1
            return path
        return uid if self.ids == "uid" else hashed(uid)

    def tell(self, progress: Progress) -> None:
        """Says how many images have no identifier of a header."""
        if self.others:
            what = "image has" if self.others == 1 else "images have"
            progress.message(
                f"{self.others:,} {what} no identifier of a DICOM header, and the name of the file instead"
            )
