"""Heatmaps that show which regions of an image a finding's logit comes from, for a classifier or an ensemble.

An ensemble's logit is the weighted mean of its members' logits. Its map is therefore the weighted mean of theirs, with
the same weights, each enlarged to the image: for CAM that is the ensemble's own CAM, exactly. A member's map is not
scaled to its own maximum first, since that would give a member that saw nothing as loud a voice as one that is sure.
Members may cancel each other, so negative parts are cut off (the ReLU of Grad-CAM) after the mean.

Where a decision averages logits over views of the image (test-time augmentation), the map is the mean of the maps of
the views, each laid back over the image, for the same reason; logit and probability are those of `predict`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from zoo.config.tta import TtaSpec
from zoo.core.errors import UsageError
from zoo.data.images.arrays import filled_up
from zoo.data.images.limits import DEFAULT, Limits
from zoo.data.images.reading import read_image
from zoo.data.images.sources import ImageSource, hold, one_image
from zoo.data.tta import over_the_image, views
from zoo.evaluation.decision import Decision, probabilities
from zoo.explain.cam import maps_of_members
from zoo.explain.overlay import ALPHA, save_png
from zoo.explain.overlay import overlay as lay_over
from zoo.explain.subject import check, input_of, members_of
from zoo.models.classifier import Classifier
from zoo.models.ensemble import Ensemble

#: If a map's largest value is below this fraction of its largest magnitude, it is a rounding error and counts as 0.
_ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class Explanation:
    """The regions of one image that support a finding. They show what the network used, not where disease is.

    Attributes:
        image: uint8 (h, w), the image in grey at its own size.
        heatmap: float32 (h, w) in 0..1: the positive part of `raw` over its maximum; all 0 where nothing speaks for
            the finding. It shows where, never how much: that is `logit`.
        raw: float32 (h, w), signed, in logits per image (see `zoo.explain.cam`).
        logit: Of the finding, of the whole model.
        probability: Of the finding, calibrated where a decision was given.
        method: One of `zoo.explain.cam.METHODS`.
        index: The finding's column.
        finding: Its name, or "".
        members: Name -> float32 (rows, columns): each member's raw map on its own grid, of the image without views.
    """

    image: np.ndarray
    heatmap: np.ndarray
    raw: np.ndarray
    logit: float
    probability: float
    method: str
    index: int
    finding: str
    members: dict[str, np.ndarray]

    def overlay(self, alpha: float = ALPHA) -> np.ndarray:
        """Returns the heatmap in colour over the image, uint8 (h, w, 3); see `zoo.explain.overlay.overlay`."""
        return lay_over(self.image, self.heatmap, alpha)

    def save(self, path: str | Path, alpha: float = ALPHA) -> Path:
        """Writes the overlay as PNG, with finding, probability and method in its text; returns the path."""
        facts = {"Finding": self.finding or str(self.index), "Method": self.method}
        return save_png(path, self.overlay(alpha), Probability=f"{self.probability:.3f}", **facts)


def explain(
    model: Classifier | Ensemble,
    image: ImageSource,
    index: int,
    method: str = "gradcam",
    *,
    findings: Sequence[str] = (),
    decision: Decision | None = None,
    tta: TtaSpec | None = None,
    limits: Limits = DEFAULT,
) -> Explanation:
    """Explains one finding on one image, in the image's own geometry.

    Args:
        model: A classifier or an ensemble; left as it is.
        image: Anything `read_image` reads, at any size.
        index: The finding's column.
        method: "gradcam", "gradcam++" or "layercam", for any head; "cam" for GAP heads.
        findings: Names of the columns; those of the decision by default.
        decision: Calibration for the probability, and views; the plain sigmoid without it.
        tta: Views to average over; those of the decision, if there is one.
        limits: What the image may cost at most.

    Raises:
        UnknownNameError: No such method.
        ValueError: No such column; a finding the model never learned; "cam" of a head without a closed form.
        ImageError: The image cannot be read.

    Example:
        >>> explain(model, "image.jpg", 3).save("edema.png")  # doctest: +SKIP
    """
    (found,) = explain_images(
        model, [image], [index], method, findings=findings, decision=decision, tta=tta, limits=limits
    )
    return found


def explain_images(
    model: Classifier | Ensemble,
    images: Sequence[ImageSource],
    indices: Sequence[int],
    method: str = "gradcam",
    *,
    findings: Sequence[str] = (),
    decision: Decision | None = None,
    tta: TtaSpec | None = None,
    limits: Limits = DEFAULT,
) -> list[Explanation]:
    """Explains one finding on each of many images, each in its own geometry; the network runs for all of them at once.

    Arguments and errors as in `explain`, and:

    Args:
        images: The n images.
        indices: The column of the finding of each.

    Returns:
        n explanations, in order.

    Example:
        >>> [e.finding for e in explain_images(model, ["a.jpg", "b.jpg"], (1, 3), decision=decision)]  # doctest: +SKIP
        ['Cardiomegaly', 'Edema']
    """
    size, channels = input_of(model)
    held = [hold(one_image(image), limits) for image in images]
    whole = [read_image(one, limits=limits)[..., 0] for one in held]
    # Decoded again and not resized from `whole`: a JPEG decoded at a small size differs slightly, as in prediction.
    pixels = [read_image(one, size, channels, limits) for one in held]
    if len({one.shape for one in pixels}) > 1:
        raise UsageError("a model of any image size explains images of one size at a time")
    return list(_explain(model, np.stack(pixels), whole, np.asarray(indices), method, findings, decision, tta=tta))


def explain_findings(
    model: Classifier | Ensemble,
    image: ImageSource,
    indices: Sequence[int],
    method: str = "gradcam",
    *,
    size: int | None = None,
    decision: Decision | None = None,
    limits: Limits = DEFAULT,
) -> list[Explanation]:
    """Explains several findings on one image; the backbones, which take most of the time, run once.

    Arguments and errors as in `explain`, and:

    Args:
        indices: The columns of the findings.
        size: Longest side of image and heatmaps in pixels, for larger images; None for their own size.

    Returns:
        An explanation for each finding, in order.

    Example:
        >>> [e.finding for e in explain_findings(model, "image.jpg", (1, 3), decision=decision)]  # doctest: +SKIP
        ['Cardiomegaly', 'Edema']
    """
    side, channels = input_of(model)
    held = hold(one_image(image), limits)
    whole = Image.fromarray(read_image(held, limits=limits)[..., 0])
    if size is not None:
        whole.thumbnail((size, size), Image.Resampling.BOX)
    pixels = read_image(held, side, channels, limits)[None]
    chosen = np.asarray(indices, int)
    shown = [np.asarray(whole)] * len(chosen)
    return list(_explain(model, pixels, shown, chosen, method, (), decision, max(len(chosen), 1)))


def explain_batch(
    model: Classifier | Ensemble,
    pixels: np.ndarray,
    indices: Sequence[int] | np.ndarray,
    method: str = "gradcam",
    *,
    findings: Sequence[str] = (),
    decision: Decision | None = None,
    batch_size: int = 16,
) -> list[Explanation]:
    """Explains one finding on each of many images, at the network's own size.

    Args:
        model: A classifier or an ensemble; left as it is.
        pixels: (n, size, size, channels) of 0..255, as `read_image(..., size)` gives them.
        indices: (n,) column of each image's finding.
        method: "gradcam", "gradcam++" or "layercam", for any head; "cam" for GAP heads.
        findings: Names of the columns; those of the decision by default.
        decision: Calibration for the probabilities, and views; the plain sigmoid without it.
        batch_size: Images to the network at once.

    Returns:
        n explanations, whose image is as given (its mean over channels where there are three).

    Raises:
        UnknownNameError: No such method.
        ValueError: No such column, a finding that the model was not trained on, "cam" of a head without a closed form,
            pixels of another shape or range, or another number of indices than of images.
    """
    values = np.asarray(pixels)
    expected = tuple(model.input_shape[1:])
    fits = values.ndim == 4 and all(want in (None, got) for want, got in zip(expected, values.shape[1:], strict=True))
    if not fits or np.shape(indices) != values.shape[:1]:
        raise UsageError(
            f"expected pixels (n, {', '.join(map(str, expected))}) and n findings, "
            f"got {values.shape} and {np.shape(indices)}"
        )
    if batch_size < 1:
        raise UsageError(f"batch_size must be at least 1, got {batch_size}")
    if not len(values):
        return []
    if not (values.min() >= 0 and values.max() <= 255):  # a NaN fails both
        raise UsageError(f"pixels must be in 0..255, got {values.min():g}..{values.max():g}")
    given = list(np.rint(values.mean(axis=-1)).astype(np.uint8))
    return list(_explain(model, values, given, np.asarray(indices), method, findings, decision, batch_size))


def enlarge(grid: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A float32 map (rows, columns) at the size of an image (h, w), bilinear.

    A cell of the grid covers its share of the image, its value stands at the cell's middle, and what lies outside the
    outermost middles has their value: the inverse of how `read_image` stretches an image to the network's square.
    """
    enlarged = Image.fromarray(np.ascontiguousarray(grid, np.float32)).resize(shape[::-1], Image.Resampling.BILINEAR)
    return np.array(enlarged)


def _explain(
    model: Classifier | Ensemble,
    pixels: np.ndarray,
    images: list[np.ndarray],
    indices: np.ndarray,
    method: str,
    findings: Sequence[str],
    decision: Decision | None,
    batch_size: int = 16,
    tta: TtaSpec | None = None,
) -> Iterator[Explanation]:
    """One explanation an image, each at its own size; one image is explained for all of `indices`."""
    members, weights = members_of(model)
    names = tuple(findings) or (decision.findings if decision is not None else ())
    check(members, indices, method, names, decision)
    spec = tta if decision is None else decision.tta
    for start in range(0, len(indices), batch_size):
        rows = slice(start, start + batch_size)
        # A short last batch is padded, so that only one shape is compiled.
        wanted = filled_up(indices[rows], min(batch_size, len(indices)))
        filled = pixels if len(pixels) == 1 else filled_up(pixels[rows], len(wanted))
        seen = [maps_of_members(members, view, wanted, method) for view in views(filled, spec)]
        logits = np.mean([np.einsum("mnf,mf->nf", np.stack(z), weights) for z, _ in seen], axis=0)
        chances = probabilities(logits, decision)
        for i, (image, index) in enumerate(zip(images[rows], indices[rows], strict=True)):
            large = [[enlarge(grid[i], image.shape) for grid in grids] for _, grids in seen]
            maps = [np.tensordot(weights[:, index], np.stack(of_view), axes=1) for of_view in large]
            raw = maps[0] if spec is None else over_the_image(maps, spec, pixels.shape[1:3])
            grids = {member.name: grid[i] for member, grid in zip(members, seen[0][1], strict=True)}
            yield Explanation(
                image, _heatmap(raw), raw, float(logits[i, index]), float(chances[i, index]),
                method, int(index), names[index] if names else "", grids,
            )  # fmt: skip


def _heatmap(raw: np.ndarray) -> np.ndarray:
    peak = raw.max()
    if not peak > _ROUNDING * np.abs(raw).max():
        return np.zeros_like(raw)
    return np.maximum(raw, 0) / peak
