"""`zoo.load`: a trained model, its preprocessing, labels, temperature and thresholds as one object."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from zoo import sources
from zoo.data.images import read_image
from zoo.errors import ImageError, UnknownNameError
from zoo.evaluation.decision import Decision, positives, probabilities
from zoo.hub import parity, release
from zoo.specs import EnsembleSpec

if TYPE_CHECKING:
    from zoo.explain.explanation import Explanation
    from zoo.models.ensemble import Ensemble

#: Path, encoded bytes, PIL image, or array of 0..255 grey levels (h, w) or (h, w, 1 or 3).
Image = Any


@dataclass(frozen=True)
class Prediction:
    """One batch of a stream.

    Attributes:
        names: A name for each image: the path, or its running number.
        logits: float32 (n, findings); a row of NaN where the image could not be read.
        errors: What was wrong with each image; "" where nothing was.
    """

    names: list[str]
    logits: np.ndarray
    errors: list[str]


def load(name: str | Path, *, members: Sequence[str] | None = None, force_download: bool = False) -> Predictor:
    """Loads a model with its weights, labels, temperature and thresholds.

    Args:
        name: A name of `zoo.list_models(kind="ensemble")` that has weights; "hf://owner/repo" or
            "hf://owner/repo@revision" on a Hub; or the folder of a release (a `Path`, or a string such as "./release").
        members: Names of the members to take, and to download; all by default. One member decides with its own
            temperature and thresholds, several that are not all have none.
        force_download: Fetch from the Hub again what the cache holds already.

    Returns:
        A `Predictor`. Files are checked against the release's sha256 first; on another backend than the one that wrote
        the release, the network is held against the release's golden logits.

    Raises:
        UnknownNameError: No such model or member; names the closest ones.
        FileNotFoundError: The model has no weights on this machine; says what would give it some.
        ReleaseError: The release is incomplete or altered, or computes something else here.
        HubError: The Hub cannot give it.

    Example:
        >>> load("xrayslam-demo").findings(["film.jpg"])  # doctest: +SKIP
    """
    found = sources.find(name, members, force_download=force_download)
    model = release.build_model(found, members)
    parity.check(found, model)
    return Predictor(
        model, found.spec, _decision(found, members), name=str(name), metrics=dict(found.metrics), source=found.source
    )


def predict_ensemble(
    paths: Sequence[Image], model: str | Path = "xrayslam-ensemble", *, calibrated: bool = True
) -> np.ndarray:
    """Probabilities of the ensemble, as the original solution's function of the same name.

    Args:
        paths: Images.
        model: Name or folder, as for `load`.
        calibrated: False gives the plain sigmoid of the mean logits, as the original does.

    Returns:
        float32 (n, findings) probabilities.
    """
    return load(model).predict(paths, calibrated=calibrated)


class Predictor:
    """A model ready for use. Research software: its findings are not a diagnosis.

    Args:
        model: The ensemble; 0..255 pixels to float32 logits.
        spec: What `model` was built from.
        decision: Temperature and thresholds, or None where none were fitted for this choice of members.
        name: What it was loaded as.
        metrics: What the release says of its evaluation.
        source: "hf://owner/repo@commit" it was pulled from, or "".
    """

    def __init__(
        self,
        model: Ensemble,
        spec: EnsembleSpec,
        decision: Decision | None = None,
        *,
        name: str = "",
        metrics: dict[str, Any] | None = None,
        source: str = "",
    ) -> None:
        self.model, self.spec, self.decision = model, spec, decision
        self.name, self.metrics, self.source = name or spec.name, metrics or {}, source

    def __repr__(self) -> str:
        members = ", ".join(m.name for m in self.model.members)
        return f"Predictor({self.name!r}: {members}; {self.spec.image_size} px; {len(self.labels)} findings)"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of every output."""
        return self.spec.findings

    def predict(
        self, images: Iterable[Image], *, calibrated: bool = True, batch_size: int = 16, strict: bool = False
    ) -> np.ndarray:
        """Probabilities of images of any number.

        Args:
            images: Paths, bytes, PIL images or arrays; an iterable is read batch by batch, never held whole.
            calibrated: False leaves the temperature out.
            batch_size: Images to the network at once.
            strict: True raises on the first unreadable image; otherwise its row is NaN and a warning names it.

        Returns:
            float32 (n, findings) probabilities.

        Raises:
            ImageError: With `strict`, an image that cannot be read.
        """
        decision = self.decision if calibrated else None
        parts = [np.empty((0, len(self.labels)), np.float32)]
        unreadable: list[str] = []
        for batch in self.stream(images, batch_size=batch_size, strict=strict):
            parts.append(probabilities(batch.logits, decision))
            unreadable += [e for e in batch.errors if e]
        if unreadable:
            more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
            warnings.warn(f"unreadable image, its row is NaN: {unreadable[0]}{more}", stacklevel=2)
        return np.concatenate(parts)

    def findings(
        self, images: Iterable[Image], *, point: str | None = None, batch_size: int = 16, strict: bool = False
    ) -> pd.DataFrame:
        """A table with one row for each image and finding.

        Args:
            images: As for `predict`.
            point: Name of an operating point of the release; its default one otherwise.
            batch_size: Images to the network at once.
            strict: As for `predict`.

        Returns:
            Columns image, finding, probability (float32), threshold, positive (nullable boolean: missing where the
            image was unreadable or the finding has no threshold), error ("" or why the image was not read; "not
            trained" for a finding the model never learned).
        """
        tables = [self.table(b, point) for b in self.stream(images, batch_size=batch_size, strict=strict)]
        return pd.concat(tables, ignore_index=True) if tables else self.table(_empty(len(self.labels)), point)

    def explain(self, image: Image, finding: str, method: str = "gradcam") -> Explanation:
        """Where on a film a finding's logit comes from; it shows what the network used, not where disease is.

        Args:
            image: As one of `predict`'s.
            finding: One of `labels`.
            method: "gradcam", "gradcam++" or "layercam"; "cam" for GAP heads. See `zoo.explain.cam`.

        Returns:
            Heatmap in the film's own geometry; `.save("map.png")` writes it over the film.

        Raises:
            UnknownNameError: No such finding or method.
            ImageError: The image cannot be read.
        """
        from zoo.explain.explanation import explain

        if finding not in self.labels:
            raise UnknownNameError("finding", finding, self.labels)
        index = self.labels.index(finding)
        return explain(self.model, image, index, method, findings=self.labels, decision=self.decision)

    def stream(self, images: Iterable[Image], *, batch_size: int = 16, strict: bool = False) -> Iterator[Prediction]:
        """Logits batch by batch, in order; the next batch is decoded while the network works on this one."""
        if isinstance(images, str | bytes | Path):
            raise TypeError(f"images must be a list or another iterable of images, got one {type(images).__name__}")
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            ready = None
            for start, chunk in _chunks(images, batch_size):
                decoding = [(_name(im, start + i), pool.submit(self._read, im, strict)) for i, im in enumerate(chunk)]
                if ready is not None:
                    yield self._infer(ready, batch_size)
                ready = decoding
            if ready is not None:
                yield self._infer(ready, batch_size)

    def table(self, batch: Prediction, point: str | None = None) -> pd.DataFrame:
        """One batch of `stream` as the rows of `findings`."""
        n, k = batch.logits.shape
        chances = probabilities(batch.logits, self.decision)
        thresholds, positive = self._decide(chances, point)
        trained = self.decision.trained if self.decision is not None else (True,) * k
        untrained = ["" if t else "not trained" for t in trained]
        return pd.DataFrame(
            {
                "image": np.repeat(np.asarray(batch.names, object), k),
                "finding": list(self.labels) * n,
                "probability": chances.ravel(),
                "threshold": np.tile(thresholds, n),
                "positive": positive,
                "error": [error or note for error in batch.errors for note in untrained],
            }
        )

    def _decide(self, chances: np.ndarray, point: str | None) -> tuple[np.ndarray, pd.arrays.BooleanArray]:
        if self.decision is None:
            raise ValueError(
                f"{self!r} has no thresholds: none were fitted for these members; predict() gives probabilities"
            )
        thresholds = np.asarray(self.decision.point(point).thresholds, np.float32)
        known = np.isfinite(chances) & np.isfinite(thresholds)
        return thresholds, pd.arrays.BooleanArray(positives(chances, self.decision, point).ravel() == 1, ~known.ravel())

    def _read(self, image: Image, strict: bool) -> np.ndarray | ImageError:
        try:
            return read_image(image, self.spec.image_size)
        except (ImageError, FileNotFoundError) as error:
            if strict:
                raise
            return error if isinstance(error, ImageError) else ImageError(str(error))

    def _infer(self, decoding: list[tuple[str, Any]], batch_size: int) -> Prediction:
        """Runs a batch; a short one is filled up, so that one shape is compiled and not two."""
        names, results = [n for n, _ in decoding], [f.result() for _, f in decoding]
        size = self.spec.image_size
        pixels = np.zeros((batch_size, size, size, 1), np.uint8)
        read = np.array([not isinstance(r, ImageError) for r in results])
        for i, result in enumerate(results):
            if read[i]:
                pixels[i] = result
        logits = np.full((len(results), len(self.labels)), np.nan, np.float32)
        if read.any():
            logits[read] = np.asarray(self.model.predict_on_batch(pixels), np.float32)[: len(results)][read]
        return Prediction(names, logits, [str(r) if isinstance(r, ImageError) else "" for r in results])


def _decision(found: release.Release, members: Sequence[str] | None) -> Decision | None:
    """The decision that was fitted for exactly these members, or None."""
    if members is None or {*members} == {m.name for m in found.spec.members}:
        return found.decision
    return found.member_decisions.get(members[0]) if len(members) == 1 else None


def _chunks(images: Iterable[Image], size: int) -> Iterator[tuple[int, list[Image]]]:
    source, start = iter(images), 0
    while chunk := list(islice(source, size)):
        yield start, chunk
        start += len(chunk)


def _name(image: Image, index: int) -> str:
    return str(image) if isinstance(image, str | Path) else f"image {index}"


def _empty(k: int) -> Prediction:
    return Prediction([], np.empty((0, k), np.float32), [])
