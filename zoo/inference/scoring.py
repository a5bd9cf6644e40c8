"""From images to logits, and from logits to probabilities and tables: what a `Predictor` does with images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.core.errors import UsageError
from zoo.core.warn import warn_user
from zoo.data.images.limits import Limits
from zoo.evaluation.coherence import project
from zoo.evaluation.decision import Decision, probabilities
from zoo.evaluation.scales import rescaled
from zoo.evaluation.scores import Scores
from zoo.evaluation.untrained import left_out, trained
from zoo.gate.verdict import OnReject, Tally
from zoo.inference.stream import Gate, Images, Pipeline, Prediction, Streaming
from zoo.runtimes.averaged import averaged
from zoo.runtimes.runtime import Runtime

# pandas takes as long to import as OpenVINO takes to load a network, so only functions that return tables import it.
if TYPE_CHECKING:
    import pandas as pd

    from zoo.config.tta import TtaSpec


class Scoring(Streaming):
    """A network with a decision; `Predictor` is the one that is loaded, with all of a release around it."""

    runtime: Runtime
    spec: EnsembleSpec
    decision: Decision | None
    members: tuple[str, ...]
    limits: Limits
    gate: Gate | None
    on_reject: OnReject
    _tta: TtaSpec | None

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the output columns."""
        return self.spec.findings

    @property
    def tta(self) -> TtaSpec | None:
        """The views whose logits are averaged: those of the decision; without a decision, those of `with_tta`."""
        return self._tta if self.decision is None else self.decision.tta

    @property
    def averaging(self) -> Runtime:
        """What computes the logits: the runtime, averaged over the views of `tta` if there are any."""
        return averaged(self.runtime, self.tta)

    @property
    def trained(self) -> tuple[bool, ...]:
        """Whether the model was trained on each of `labels`; the probabilities of the others are NaN."""
        return trained(self.spec, self.members, self.decision)

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

    def _pipeline(self) -> Pipeline:
        size, k = self.spec.image_size, len(self.labels)
        return Pipeline(self.averaging, size, k, self.limits, self.trained, self.gate, self.on_reject)

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
