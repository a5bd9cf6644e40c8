"""A trained model, its preprocessing, labels, temperature and thresholds as one object: what `zoo.load` gives."""

from __future__ import annotations

import copy
import multiprocessing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.core.errors import ReleaseError, StateError, UnknownNameError, UsageError, ZooError
from zoo.core.process import require_own_process
from zoo.core.warn import warn_user
from zoo.data.images.limits import DEFAULT, Limits
from zoo.data.images.sources import ImageSource
from zoo.evaluation.coherence import project
from zoo.evaluation.decision import Decision, probabilities
from zoo.evaluation.scores import Scores
from zoo.inference import starting
from zoo.inference.starting import LoadOptions
from zoo.inference.stream import Images, Prediction, stream
from zoo.release import manifest
from zoo.release.build import decision_of
from zoo.runtimes.runtime import KerasRuntime, Runtime

# pandas takes as long to import as OpenVINO to load a network: only what makes a table imports it.
if TYPE_CHECKING:
    import pandas as pd

    from zoo.explain.explanation import Explanation
    from zoo.models.ensemble import Ensemble


class Origin(NamedTuple):
    """Where a predictor was loaded from: a reference or folder, and how."""

    name: str
    options: LoadOptions


class Predictor:
    """A model ready for use. Research software: its findings are not a diagnosis.

    Args:
        runtime: What computes the logits.
        spec: What the released ensemble is made of.
        decision: Temperature and thresholds, or None where none were fitted for this choice of members.
        members: Names of the members that `runtime` computes; all by default.
        name: What it was loaded as.
        metrics: What the release says of its evaluation.
        source: "hf://owner/repo@commit" it was pulled from, or "".
        manifest_sha256: Of the release's manifest: one string that stands for all of it; "" where there is none.
        limits: What each image may cost at most; set `predictor.limits = zoo.Limits(seconds=20)` at any time.
        origin: Where it was loaded from; another process that it is sent to (pickled) loads it from there, and refuses
            a release with another manifest.
    """

    def __init__(
        self,
        runtime: Runtime,
        spec: EnsembleSpec,
        decision: Decision | None = None,
        *,
        members: Sequence[str] | None = None,
        name: str = "",
        metrics: dict[str, Any] | None = None,
        source: str = "",
        manifest_sha256: str = "",
        limits: Limits = DEFAULT,
        origin: Origin | None = None,
    ) -> None:
        self.runtime, self.spec, self.decision = runtime, spec, decision
        self.members = tuple(m.name for m in spec.members if members is None or m.name in members)
        self.name, self.metrics, self.source = name or spec.name, metrics or {}, source
        self.manifest_sha256, self.limits, self.origin = manifest_sha256, limits, origin

    @classmethod
    def load(cls, name: str | Path, options: LoadOptions) -> Predictor:
        """The model of a name, loaded with these options; see `zoo.load`."""
        runtime, found = starting.start(name, options)
        return cls(
            runtime,
            found.spec,
            decision_of(found, options.members),
            members=options.members,
            name=str(name),
            metrics=dict(found.metrics),
            source=found.source,
            manifest_sha256=found.manifest_sha256,
            origin=Origin(found.source or str(found.folder.absolute()), options.settled(runtime.precision)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Neither networks nor their threads can go to another process: what goes is where they were loaded from.
        if self.origin is None:
            raise StateError(f"{self!r} was not loaded from a release, so that another process could not load it again")
        decision = None if self.decision is None else self.decision.to_dict()
        return _load_again, (self.origin, self.manifest_sha256, decision, self.name, self.limits)

    def __copy__(self) -> Predictor:
        other = object.__new__(type(self))
        other.__dict__ |= self.__dict__
        return other

    def __repr__(self) -> str:
        how = f"{self.runtime.name} {self.runtime.precision}"
        what = f"{self.spec.image_size} px; {len(self.labels)} findings; {how}"
        return f"Predictor({self.name!r}: {', '.join(self.members)}; {what})"

    @property
    def model(self) -> Ensemble:
        """The Keras model; `ValueError` on another runtime, which has none."""
        if not isinstance(self.runtime, KerasRuntime):
            raise UsageError(f"{self!r} has no Keras model: load it with runtime='keras' for that")
        return self.runtime.model

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the columns of every output."""
        return self.spec.findings

    def predict(
        self,
        images: Images,
        *,
        calibrated: bool = True,
        coherent: bool = False,
        batch_size: int | None = None,
        strict: bool = False,
    ) -> np.ndarray:
        """Probabilities of images of any number.

        Args:
            images: One image or several; an iterable is read batch by batch, never held whole. An image is a path, the
                bytes of a file, an open file, a Pillow image, or an array or tensor (h, w), (h, w, 1), (h, w, 3) or
                (h, w, 4) of 0..255 (see `zoo.data.images.reading.read_image`); with one more axis in front arrays are
                stacks of images. Three dimensions with a last axis of 1, 3 or 4 are one image.
            calibrated: False leaves the temperature out.
            coherent: True moves them, as little as it takes, to where no finding contradicts another
                (`evaluation.coherence.project`); thresholds do not hold for those.
            batch_size: Images to the network at once; the runtime's own number by default.
            strict: True raises on the first error; otherwise the row of that image is NaN and a warning names it.

        Returns:
            float32 (n, findings) probabilities; (1, findings) of one image. NaN in the columns of findings that the
            model was not trained on.

        Raises:
            ImageError: With `strict`, an image that cannot be read.
            StateError: With `strict`, a logit that is not finite; or this process was forked from one that had already
                loaded a model.
            UsageTypeError: Neither an image nor several.
            UsageError: An array of another shape.
        """
        decision = self.decision if calibrated else None
        parts = [np.empty((0, len(self.labels)), np.float32)]
        errors: list[str] = []
        for batch in self.stream(images, batch_size=batch_size, strict=strict):
            parts.append(probabilities(batch.logits, decision))
            errors += [error for error in batch.errors if error]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            warn_user(f"an image without a prediction, its row is NaN: {errors[0]}{more}")
        chances = np.concatenate(parts)
        return project(chances, self.labels) if coherent else chances

    def findings(
        self,
        images: Images,
        *,
        point: str | None = None,
        batch_size: int | None = None,
        strict: bool = False,
    ) -> pd.DataFrame:
        """A table with one row for each image and finding.

        Args:
            images: As for `predict`.
            point: Name of an operating point of the release; its default one otherwise.
            batch_size: As for `predict`.
            strict: As for `predict`.

        Returns:
            Columns image, finding, probability (float32), threshold, positive (nullable boolean: missing where there
            is no probability or no threshold), error ("" or why the image has no probabilities; "not trained" for a
            finding that the model was not trained on).
        """
        import pandas as pd

        tables = [self.table(b, point) for b in self.stream(images, batch_size=batch_size, strict=strict)]
        none = Prediction([], np.empty((0, len(self.labels)), np.float32), [])
        return pd.concat(tables, ignore_index=True) if tables else self.table(none, point)

    def explain(self, image: ImageSource, finding: str, method: str = "gradcam") -> Explanation:
        """Where in an image a finding's logit comes from; it shows what the network used, not where disease is.

        Args:
            image: One image, as for `predict`.
            finding: One of `labels`.
            method: "gradcam", "gradcam++" or "layercam"; "cam" for GAP heads. See `zoo.explain.cam`.

        Returns:
            Heatmap in the image's own geometry; `.save("map.png")` writes it over the image.

        Raises:
            UnknownNameError: No such finding or method.
            ImageError: The image cannot be read.
            UsageTypeError: Not an image.
            ValueError: It was not loaded with runtime="keras".
        """
        from zoo.explain.explanation import explain

        require_own_process()
        if finding not in self.labels:
            raise UnknownNameError("finding", finding, self.labels)
        index = self.labels.index(finding)
        names, decision = self.labels, self.decision
        return explain(self.model, image, index, method, findings=names, decision=decision, limits=self.limits)

    def scores(
        self,
        images: Images,
        labels: np.ndarray,
        *,
        patients: Sequence[object] | np.ndarray | None = None,
        split: str = "validation",
    ) -> Scores:
        """Logits with labels, as everything in `zoo.evaluation` takes them; to fit a decision of one's own, say.

        Args:
            images: As for `predict`; all have to be readable.
            labels: (n, findings) of 1, 0 and NaN, columns as `labels`.
            patients: (n,) the patient of each image; each image by itself without.
            split: "validation" for images to fit on, "test" for those that are reported.

        Raises:
            ImageError: An image that cannot be read.
            ValueError: Labels of another shape, or other values.

        Example:
            >>> decision = fit_decision(model.scores(paths, labels), calibration="auto")  # doctest: +SKIP
            >>> model.with_decision(decision).findings(paths)  # doctest: +SKIP
        """
        logits = [np.empty((0, len(self.labels)), np.float32)]
        logits += [batch.logits for batch in self.stream(images, strict=True)]
        whose = None if patients is None else np.asarray(patients)
        return Scores(np.concatenate(logits), labels, self.labels, split, patients=whose)

    def with_decision(self, decision: Decision | str | Path) -> Predictor:
        """The same model that decides otherwise: by a fitted decision, or by the file that `zoo evaluate` wrote of one.

        Raises:
            ReleaseError: It is no decision, or one for other findings.
        """
        if not isinstance(decision, Decision):
            decision = Decision.from_dict(manifest.read_json(Path(decision)))
        # The findings are compared of a decision that was given, too.
        decision = Decision.from_dict(decision.to_dict(), self.labels)
        other = copy.copy(self)
        other.decision = decision
        return other

    def stream(
        self, images: Images, *, batch_size: int | None = None, strict: bool = False, start: int = 0
    ) -> Iterator[Prediction]:
        """Logits batch by batch, in order; the next batch is decoded while the network works on this one.

        Args:
            images: As for `predict`.
            batch_size: As for `predict`.
            strict: As for `predict`.
            start: Running number of the first of `images`, where they go on after others. What goes on after whole
                batches gets the same bits as it would have in one stream with them.
        """
        require_own_process()
        size, k = self.spec.image_size, len(self.labels)
        return stream(
            self.runtime, images, size, k, batch_size=batch_size, strict=strict, start=start, limits=self.limits,
            trained=self.decision.trained if self.decision is not None else (),
        )  # fmt: skip

    def table(self, batch: Prediction, point: str | None = None) -> pd.DataFrame:
        """One batch of `stream` as the rows of `findings`."""
        if self.decision is None:
            raise UsageError(
                f"{self!r} has no thresholds: none were fitted for these members; predict() gives probabilities"
            )
        from zoo.inference.tables import long_table

        return long_table(batch, self.labels, self.decision, point)

    def wide_table(self, batch: Prediction) -> pd.DataFrame:
        """One batch of `stream` with a row for each image: image, the probability of each finding, error.

        Findings that the model never learned are left out.
        """
        from zoo.inference.tables import wide_table

        return wide_table(batch, self.labels, self.decision)


class _NotLoaded(Predictor):
    """A predictor that a worker process could not load: each use raises the reason."""

    def __init__(self, error: Exception, sent: tuple[Any, ...]) -> None:
        self.__dict__ |= {"_error": error, "_sent": sent}

    def __reduce__(self) -> tuple[Any, ...]:
        return _load_again, self._sent

    def __repr__(self) -> str:
        return f"Predictor({self._error})"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise self._error


def _load_again(
    origin: Origin, manifest_sha256: str, decision: dict[str, Any] | None, name: str, limits: Limits
) -> Predictor:
    """A predictor that was pickled, in the process that it was sent to.

    In a worker of `multiprocessing` an error is raised at the first use: raised here, while the worker reads its task,
    it would end the worker, and the pool would start another one for ever.
    """
    try:
        return _loaded_again(origin, manifest_sha256, decision, name, limits)
    except (ZooError, OSError) as error:
        if multiprocessing.parent_process() is None:
            raise
        return _NotLoaded(error, (origin, manifest_sha256, decision, name, limits))


def _loaded_again(
    origin: Origin, manifest_sha256: str, decision: dict[str, Any] | None, name: str, limits: Limits
) -> Predictor:
    found = Predictor.load(*origin)
    if found.manifest_sha256 != manifest_sha256:
        raise ReleaseError(
            f"{origin.name} holds another release (manifest {found.manifest_sha256[:12]}) than the one that was loaded "
            f"({manifest_sha256[:12]}): load the model again"
        )
    found.name, found.limits = name, limits
    found.decision = None if decision is None else Decision.from_dict(decision)
    return found
