"""What made a result: the model as DICOM identifies an algorithm, and the unique identifiers that follow from it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zoo._version import __version__
from zoo.core.errors import StateError
from zoo.core.files import content_key

if TYPE_CHECKING:
    from zoo.inference.predictor import Predictor

#: Name space of the identifiers (RFC 4122, version 5), and the version of the objects' content: another content of the
#: objects gets another number here, so that an archive does not take it for the old one.
_SPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "xrayslam-zoo dicom")
_CONTENT = 1

MANUFACTURER = "xrayslam-zoo"


@dataclass(frozen=True)
class Algorithm:
    """The model behind a result.

    Attributes:
        name: Name of the released ensemble.
        manifest_sha256: sha256 of the release's manifest, which identifies everything in it.
        members: Names of the members that computed.
        point: Operating point of the verdicts.
        decision: Key of calibration and thresholds.
    """

    name: str
    manifest_sha256: str
    members: tuple[str, ...] = ()
    point: str = ""
    decision: str = ""

    @property
    def version(self) -> str:
        """Version of the algorithm: the start of the manifest's hash, since releases have no numbers."""
        return f"manifest {self.manifest_sha256[:16]}"

    @property
    def parameters(self) -> tuple[str, ...]:
        """What else determines the numbers, one text each."""
        found = [f"manifest sha256 {self.manifest_sha256}", f"software xrayslam-zoo {__version__}"]
        found += [f"members {', '.join(self.members)}"] if self.members else []
        return (*found, f"operating point {self.point}") if self.point else tuple(found)

    @property
    def equipment(self) -> dict[str, Any]:
        """What the General Equipment Module says of every object (PS3.3, C.7.5), as highdicom's arguments."""
        return {
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": self.name,
            "software_versions": __version__,
            "device_serial_number": self.manifest_sha256[:16],
        }

    def uid(self, kind: str, *about: str) -> str:
        """A unique identifier that is the same for the same kind of object, subject and algorithm (PS3.5, B.2).

        Args:
            kind: Kind of the object, such as "report".
            *about: Identifiers of what it is about: study and images.

        Example:
            >>> model = Algorithm("demo", "ab" * 32)
            >>> model.uid("report", "1.2.3") == model.uid("report", "1.2.3") != model.uid("map", "1.2.3")
            True
        """
        own = (self.manifest_sha256, *self.members, self.point, self.decision)
        return f"2.25.{uuid.uuid5(_SPACE, content_key([_CONTENT, kind, own, about], 64)).int}"


def algorithm_of(predictor: Predictor, point: str | None = None) -> Algorithm:
    """Returns how the results of a predictor are identified.

    Args:
        predictor: A model that was loaded from a release.
        point: Operating point of the verdicts; the release's own if None.

    Raises:
        StateError: The model has no manifest, so that nothing would identify it, or no thresholds.
        UnknownNameError: No such operating point.
    """
    if not predictor.manifest_sha256:
        raise StateError(f"{predictor!r} was not loaded from a release with a manifest, which identifies the results")
    if predictor.decision is None:
        raise StateError(f"{predictor!r} has no thresholds: none were fitted for these members")
    predictor.decision.point(point)  # raises for an unknown one
    return Algorithm(
        predictor.spec.name,
        predictor.manifest_sha256,
        predictor.members,
        point or predictor.decision.default,
        content_key(predictor.decision.to_dict(), 16),
    )
