"""What the quality checks say of one image, of a study and of many images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from zoo.core.errors import UnknownNameError

Quality = Literal["ok", "doubtful", "rejected", "unknown"]

#: What is done with a rejected image: it is predicted and counted in a warning, its row is NaN, or an error is raised.
OnReject = Literal["warn", "skip", "raise"]

#: The worst first; "unknown" says nothing, so that it is outweighed by what is known of other images of a study.
_ORDER: tuple[Quality, ...] = ("rejected", "doubtful", "ok", "unknown")


@dataclass(frozen=True)
class Verdict:
    """The word on one image.

    Attributes:
        quality: "ok"; "doubtful", to be looked at; "rejected", the model was not made for such an image; or "unknown",
            nothing to compare it with.
        reason: Why it is not "ok", in plain words; "" for "ok".
    """

    quality: Quality = "ok"
    reason: str = ""


#: Images of a model whose release has no reference.
UNKNOWN = Verdict("unknown", "the model has no reference of its training images")

#: Images that could not be read.
NOT_READ = Verdict("unknown", "the image could not be read")


def check_on_reject(value: str) -> None:
    """Raises `UnknownNameError` unless `value` is a known `OnReject`."""
    if value not in get_args(OnReject):
        raise UnknownNameError("choice of on_reject", value, get_args(OnReject))


def of_study(verdicts: Sequence[Verdict]) -> Verdict:
    """The word on a study: the worst of its images, with their number.

    Args:
        verdicts: Those of its images, at least one.

    Example:
        >>> of_study([Verdict(), Verdict("rejected", "upside down")])
        Verdict(quality='rejected', reason='1 of 2 images: upside down')
    """
    worst = min(verdicts, key=lambda verdict: _ORDER.index(verdict.quality))
    if len(verdicts) == 1 or not worst.reason:
        return worst
    count = sum(verdict.quality == worst.quality for verdict in verdicts)
    same = all(verdict == worst for verdict in verdicts)
    return worst if same else Verdict(worst.quality, f"{count} of {len(verdicts)} images: {worst.reason}")


@dataclass
class Tally:
    """Counts the words on many images.

    Attributes:
        counts: Quality -> number of images.
        first: Name and reason of the first rejected image.

    Example:
        >>> tally = Tally()
        >>> tally.add(["a.png", "b.png"], [Verdict(), Verdict("rejected", "upside down")])
        >>> tally.sentence()
        'quality checks reject 1 of 2 images (first: b.png: upside down)'
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: str = ""

    def add(self, names: Iterable[str], verdicts: Iterable[Verdict]) -> None:
        """Adds images."""
        for name, verdict in zip(names, verdicts, strict=True):
            self.counts[verdict.quality] += 1
            if verdict.quality == "rejected" and not self.first:
                self.first = f" (first: {name}: {verdict.reason})"

    def share(self, what: str) -> str:
        """How many images are rejected and doubtful, and what becomes of them, without a name; "" if none is.

        >>> Tally(Counter(ok=8, rejected=2)).share("evaluated as the others")
        'quality checks reject 2 of 10 images and call 0 doubtful; they are evaluated as the others'
        """
        rejected, doubtful = self.counts["rejected"], self.counts["doubtful"]
        if not rejected and not doubtful:
            return ""
        of = f"{rejected:,} of {self.counts.total():,} images"
        return f"quality checks reject {of} and call {doubtful:,} doubtful; they are {what}"

    def sentence(self) -> str:
        """How many images are rejected and doubtful; "" if none is."""
        rejected, doubtful, total = self.counts["rejected"], self.counts["doubtful"], self.counts.total()
        if not rejected and not doubtful:
            return ""
        parts = [f"quality checks reject {rejected:,} of {total:,} images{self.first}"] if rejected else []
        parts += [f"{doubtful:,} of {total:,} images are doubtful"] if doubtful else []
        return "; ".join(parts)
