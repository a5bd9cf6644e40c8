"""`Predictor`, the object that `zoo.load` returns: a trained model with preprocessing, labels and thresholds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.core.errors import StateError, UnknownNameError, UsageError
from zoo.core.process import require_own_process
from zoo.core.warn import warn_user
from zoo.data.images.limits import DEFAULT, Limits
from zoo.data.images.sources import ImageSource
from zoo.evaluation.coherence import project
from zoo.evaluation.decision import Decision, probabilities
from zoo.evaluation.scales import rescaled
from zoo.evaluation.scores import Scores
from zoo.evaluation.untrained import left_out, marked, trained
from zoo.gate.verdict import OnReject, Tally, check_on_reject
from zoo.inference import starting
from zoo.inference.sending import Origin, load_again
from zoo.inference.starting import LoadOptions
from zoo.inference.stream import Gate, Images, Prediction, stream
from zoo.release import manifest
from zoo.release.build import decision_of
from zoo.runtimes.averaged import averaged
from zoo.runtimes.runtime import KerasRuntime, Runtime

# pandas takes as long to import as OpenVINO takes to load a network, so only functions that return tables import it.
if TYPE_CHECKING:
    import pandas as pd

    from zoo.config.tta import TtaSpec
    from zoo.evaluation.result import Evaluation
    from zoo.explain.explanation import Explanation
    from zoo.inference.embedding import Embedder
    from zoo.models.ensemble import Ensemble


class Predictor:
    """A model ready for use. It is research software: its findings are not a diagnosis.

    Args:
        runtime: Runtime that computes the logits.
        spec: Specification of the released ensemble.
        decision: Temperature and thresholds, or None if none were fitted for these members.
        members: Names of the members that `runtime` computes; all by default.
        name: Name that the model was loaded by.
        metrics: Reads the evaluation in the release; called when `metrics` is first asked for.
        source: Hub reference "hf://owner/repo@commit" of the release, or "".
        manifest_sha256: sha256 of the release's manifest, which identifies the whole release; "" if there is none.
        limits: Limits on each image; set `predictor.limits = zoo.Limits(seconds=20)` at any time.
        origin: Where the model was loaded from. Another process that receives the (pickled) predictor loads it from
            there and refuses a release with a different manifest.
        gate: Judges the quality of each image; without one it is "unknown".
        on_reject: What happens to an image that the gate rejects: "warn" predicts it and warns, "skip" leaves its row
            NaN, "raise" raises `RejectedError`. Set `predictor.on_reject = "skip"` at any time.

    Example:
        >>> import zoo
        >>> model = zoo.load("nih-lite")  # a `Predictor`; it is never built by hand
        >>> model.predict(zoo.example_images()).shape
        (3, 14)
        >>> model.labels[model.trained.index(True)]
        'Atelectasis'
    """

    def __init__(
        self,
        runtime: Runtime,
        spec: EnsembleSpec,
        decision: Decision | None = None,
        *,
        members: Sequence[str] | None = None,
        name: str = "",
        metrics: Callable[[], Evaluation | None] = lambda: None,
        source: str = "",
        manifest_sha256: str = "",
        limits: Limits = DEFAULT,
        origin: Origin | None = None,
        gate: Gate | None = None,
        on_reject: OnReject = "warn",
    ) -> None:
        self.runtime, self.spec, self.decision = runtime, spec, decision
        self._tta: TtaSpec | None = None
        self.members = tuple(m.name for m in spec.members if members is None or m.name in members)
        self.name, self.source, self._read_metrics = name or spec.name, source, metrics
        self.manifest_sha256, self.limits, self.origin = manifest_sha256, limits, origin
        check_on_reject(on_reject)
        self.gate, self.on_reject = gate, on_reject
        self._embedder: Embedder | None = None

    @classmethod
    def load(cls, name: str | Path, options: LoadOptions) -> Predictor:
        """Loads the model of a name with these options; see `zoo.load`."""
        runtime, found = starting.start(name, options)
        return cls(
            runtime,
            found.spec,
            decision_of(found, options.members),
            members=options.members,
            name=str(name),
            metrics=lambda: found.evaluation,
            source=found.source,
            manifest_sha256=found.manifest_sha256,
            gate=found.gate,
            origin=Origin(found.source or str(found.folder.absolute()), options.settled(runtime.precision)),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Networks and their threads cannot be sent to another process, so the place they were loaded from is sent.
        if self.origin is None:
            raise StateError(f"{self!r} was not loaded from a release, so that another process could not load it again")
        decision = None if self.decision is None else self.decision.to_dict()
        how = self.name, self.limits, self.on_reject, self._tta
        return load_again, (type(self), self.origin, self.manifest_sha256, decision, *how)

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
        """The Keras model; raises `ValueError` for another runtime, which has none."""
        if not isinstance(self.runtime, KerasRuntime):
            raise UsageError(f"{self!r} has no Keras model: load it with runtime='keras' for that")
        return self.runtime.model

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the output columns."""
        return self.spec.findings

    @property
    def tta(self) -> TtaSpec | None:
        """The views whose logits are averaged: those of the decision; without a decision, those of `with_tta`."""
        return self._tta if self.decision is None else self.decision.tta

    def with_tta(self, tta: TtaSpec | None) -> Predictor:
        """Returns the model with other views of test-time augmentation, or with none.

        Calibration and thresholds hold only for the views that they were fitted with. With other views the model
        therefore has no decision: `predict` gives uncalibrated probabilities, `findings` is refused, and a decision
        for these views can be fitted on `scores`.

        Example:
            >>> fast = load("user/model").with_tta(None)  # doctest: +SKIP
            >>> fast = fast.with_decision(fit_decision(fast.scores(paths, labels)))  # doctest: +SKIP
        """
        other = copy.copy(self)
        if tta != self.tta:
            other.decision, other._tta = None, tta
        return other

    @property
    def averaging(self) -> Runtime:
        """What computes the logits: the runtime, averaged over the views of `tta` if there are any."""
        return averaged(self.runtime, self.tta)

    @property
    def trained(self) -> tuple[bool, ...]:
        """Whether the model was trained on each of `labels`; the probabilities of the others are NaN."""
        return trained(self.spec, self.members, self.decision)

    @property
    def metrics(self) -> Evaluation | None:
        """The evaluation in the release: each number with its n and interval; None if nothing was evaluated."""
        return self._read_metrics()

    @property
    def image_size(self) -> int:
        """Height and width of the input in pixels."""
        return self.spec.image_size

    def predict(
        self,
        images: Images,
        *,
        calibrated: bool = True,
        coherent: bool = False,
        scale: str | None = None,
        batch_size: int | None = None,
        strict: bool = False,
    ) -> np.ndarray:
        """Returns the probabilities of one or more images.

        Args:
            images: One image or several; an iterable is read batch by batch, never held as a whole. An image is a path,
                the contents of a file, an open file, a Pillow image, or an array or tensor (h, w), (h, w, 1), (h, w, 3)
                or (h, w, 4) in 0..255 (see `zoo.data.images.reading.read_image`). An array with one more axis in front
                is a stack of images; three dimensions whose last axis is 1, 3 or 4 are one image.
            calibrated: False does not apply the temperature; logits are still averaged over the views of `tta`.
            coherent: True changes the probabilities, as little as possible, so that no findings contradict each other
                (`evaluation.coherence.project`); the thresholds are not valid for them.
            scale: "torchxrayvision" returns that library's number instead of a probability: it is 0.5 at the threshold
                of the operating point of that name (`evaluation.scales`).
            batch_size: Number of images per batch; the runtime's default if None.
            strict: True raises the first error; otherwise the row of that image is NaN and a warning names the image.

        Returns:
            float32 (n, findings) probabilities; (1, findings) for one image. Columns of findings that the model was not
            trained on are NaN.

        Raises:
            ImageError: With `strict`, an image cannot be read.
            RejectedError: With `on_reject="raise"`, the quality checks reject an image.
            StateError: With `strict`, a logit is not finite; or this process was forked from one that had already
                loaded a model.
            UsageTypeError: `images` is neither an image nor several images.
            UsageError: An array has another shape.
        """
        if scale is not None and coherent:
            raise UsageError("coherent=True changes probabilities; the numbers of another scale are none")
        decision = self.decision if calibrated else None
        parts = [np.empty((0, len(self.labels)), np.float32)]
        errors: list[str] = []
        tally = Tally()
        for batch in self._counted(images, tally, batch_size=batch_size, strict=strict):
            found = batch.logits
            parts.append(rescaled(found, self.decision, scale) if scale else probabilities(found, decision))
            errors += [error for error in batch.errors if error]
        if errors:
            more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
            warn_user(f"an image without a prediction, its row is NaN: {errors[0]}{more}")
        self._warn(tally)
        chances = np.concatenate(parts)
        return project(chances, self.labels) if coherent else chances

    def findings(
        self,
        images: Images,
        *,
        point: str | None = None,
        batch_size: int | None = None,
        strict: bool = False,
        studies: Sequence[str] | str | None = None,
    ) -> pd.DataFrame:
        """Returns a table with one row for each image and finding, or for each study and finding.

        Args:
            images: One image or several, as `predict` accepts.
            point: Name of an operating point in the release; its default point if None.
            batch_size: Number of images per batch; the runtime's default if None.
            strict: True raises the first error; otherwise the image has an error and no probabilities.
            studies: The study of each image, or "name" or "folder" to tell it from paths (`inference.studies`). The
                logits of its images are joined by `decision.study_rule`, and columns study and images replace image.

        Returns:
            Columns image, finding, probability (float32), threshold, positive (nullable boolean; missing without a
            probability or threshold), error ("", or the reason why the image has no probabilities; "not trained" for a
            finding that the model was not trained on), quality ("ok", "doubtful", "rejected" or "unknown") and reason
            (why it is not "ok"); see `zoo.gate`.
        """
        import pandas as pd

        tally = Tally()
        batches = self._counted(images, tally, batch_size=batch_size, strict=strict)
        if studies is not None:
            from zoo.inference.studies import findings_by_study

            table = findings_by_study(batches, self, studies, point)
            self._warn(tally)
            return table
        tables = [self.table(batch, point) for batch in batches]
        self._warn(tally)
        none = Prediction([], np.empty((0, len(self.labels)), np.float32), [])
        return pd.concat(tables, ignore_index=True) if tables else self.table(none, point)

    def embed(self, images: Images, *, batch_size: int | None = None, strict: bool = False) -> np.ndarray:
        """Returns the pooled features of images: the mean of each member's feature map, the members side by side.

        Arguments and errors as in `predict`; the row of an image that cannot be read is NaN.

        Returns:
            float32 (n, features).

        Example:
            >>> load("xrayslam-demo").embed(["image.jpg"]).shape  # doctest: +SKIP
            (1, 192)
        """
        from zoo.inference.embedding import embedder

        if self._embedder is None:
            self._embedder = embedder(self)
        return replace(self._embedder, limits=self.limits).embed(images, batch_size=batch_size, strict=strict)

    def explain(self, image: ImageSource, finding: str, method: str = "gradcam") -> Explanation:
        """Maps which regions of an image affect the logit of a finding: what the network used, not where disease is.

        Args:
            image: One image, as `predict` accepts.
            finding: One of `labels`.
            method: "gradcam", "gradcam++" or "layercam"; "cam" for GAP heads. See `zoo.explain.cam`.

        Returns:
            Heatmap in the coordinates of the image; `.save("map.png")` writes it as an overlay on the image.

        Raises:
            UnknownNameError: There is no such finding or method.
            ImageError: The image cannot be read.
            UsageTypeError: `image` is not an image.
            ValueError: The model was not loaded with runtime="keras".
        """
        from zoo.explain.explanation import explain

        require_own_process()
        if finding not in self.labels:
            raise UnknownNameError("finding", finding, self.labels)
        index, names, decision = self.labels.index(finding), self.labels, self.decision
        if not self.trained[index]:
            raise UsageError(f"{finding!r} was not trained: its logit has nothing to explain")
        return explain(self.model, image, index, method, findings=names, decision=decision, limits=self.limits)

    def scores(
        self,
        images: Images,
        labels: np.ndarray,
        *,
        patients: Sequence[object] | np.ndarray | None = None,
        split: str = "validation",
    ) -> Scores:
        """Returns logits with labels for the functions of `zoo.evaluation`, for example to fit a new decision.

        Args:
            images: One image or several, as `predict` accepts; all must be readable.
            labels: (n, findings) of 1, 0 and NaN, with the columns of `labels`.
            patients: (n,) patient of each image; by default each image counts as a separate patient.
            split: "validation" for images to fit on, "test" for images to report on.

        Raises:
            ImageError: An image cannot be read.
            ValueError: `labels` has another shape or other values.

        Example:
            >>> decision = fit_decision(model.scores(paths, labels), calibration="auto")  # doctest: +SKIP
            >>> model.with_decision(decision).findings(paths)  # doctest: +SKIP
        """
        logits = [np.empty((0, len(self.labels)), np.float32)]
        logits += [batch.logits for batch in self.stream(images, strict=True)]
        whose = None if patients is None else np.asarray(patients)
        values = np.concatenate(logits)
        if not all(self.trained):
            values, labels, note = left_out(values, labels, self.labels, self.trained)
            warn_user(note)
        return Scores(values, labels, self.labels, split, patients=whose, tta=self.tta)

    def with_decision(self, decision: Decision | str | Path) -> Predictor:
        """Returns the model with another decision: a fitted one, or the path of a file that `zoo evaluate` wrote.

        Raises:
            ReleaseError: The file is not a decision, or the decision is for other findings.
        """
        if not isinstance(decision, Decision):
            decision = Decision.from_dict(manifest.read_json(Path(decision)))
        # A decision that was passed as an object also has its findings compared.
        decision = Decision.from_dict(decision.to_dict(), self.labels)
        other = copy.copy(self)
        other.decision = marked(decision, self.spec.untrained)
        return other

    def stream(
        self,
        images: Images,
        *,
        batch_size: int | None = None,
        strict: bool = False,
        start: int = 0,
        whole: int | None = None,
    ) -> Iterator[Prediction]:
        """Yields logits batch by batch, in order; the next batch is decoded while the network processes this one.

        Args:
            images: One image or several, as `predict` accepts.
            batch_size: Number of images per batch; the runtime's default if None.
            strict: True raises the first error; otherwise the image has an error and no probabilities.
            start: Index of the first of `images` if they continue an earlier stream. After a whole number of batches,
                the results are bit-identical to those of a single stream.
            whole: Number of images of a list of which these are a part: the results are then bit-identical to those of
                a single stream of the list.
        """
        require_own_process()
        size, k = self.spec.image_size, len(self.labels)
        return stream(
            self.averaging, images, size, k, batch_size=batch_size, strict=strict, start=start, whole=whole,
            limits=self.limits, trained=self.trained, gate=self.gate, on_reject=self.on_reject,
        )  # fmt: skip

    def _counted(self, images: Images, tally: Tally, *, batch_size: int | None, strict: bool) -> Iterator[Prediction]:
        for batch in self.stream(images, batch_size=batch_size, strict=strict):
            tally.add(batch.names, batch.verdicts)
            yield batch

    @staticmethod
    def _warn(tally: Tally) -> None:
        if sentence := tally.sentence():
            warn_user(f"{sentence}: see the columns quality and reason of findings()")

    def table(self, batch: Prediction, point: str | None = None) -> pd.DataFrame:
        """Converts one batch of `stream` to the rows of `findings`."""
        if self.decision is None:
            raise UsageError(
                f"{self!r} has no thresholds: none were fitted for these members; predict() gives probabilities"
            )
        from zoo.inference.tables import long_table

        return long_table(batch, self.labels, self.decision, point)

    def wide_table(self, batch: Prediction) -> pd.DataFrame:
        """Converts one batch of `stream` to one row per image: image, probabilities, error, quality, reason.

        Findings that the model was not trained on are left out.
        """
        from zoo.inference.tables import wide_table

        return wide_table(batch, self.labels, self.decision, self.trained)
