"""`Predictor`, the object that `zoo.load` returns: a trained model with preprocessing, labels and thresholds."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.config.specs import EnsembleSpec
from zoo.core.errors import StateError, UnknownNameError, UsageError
from zoo.core.process import require_own_process
from zoo.data.images.limits import DEFAULT, Limits
from zoo.data.images.sources import ImageSource
from zoo.evaluation.decision import Decision
from zoo.evaluation.untrained import marked
from zoo.gate.verdict import OnReject, check_on_reject
from zoo.inference import starting
from zoo.inference.scoring import Scoring
from zoo.inference.sending import Origin, load_again
from zoo.inference.starting import LoadOptions
from zoo.inference.stream import Gate, Images
from zoo.release import manifest
from zoo.release.build import decision_of
from zoo.runtimes.runtime import KerasRuntime, Runtime

if TYPE_CHECKING:
    from zoo.config.tta import TtaSpec
    from zoo.evaluation.result import Evaluation
    from zoo.explain.explanation import Explanation
    from zoo.inference.embedding import Embedder
    from zoo.models.ensemble import Ensemble


class Predictor(Scoring):
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
    def metrics(self) -> Evaluation | None:
        """The evaluation in the release: each number with its n and interval; None if nothing was evaluated."""
        return self._read_metrics()

    @property
    def image_size(self) -> int:
        """Height and width of the input in pixels."""
        return self.spec.image_size

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

        With views (`tta`), the map is the mean of those of the views, each laid back over the image.

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
        return explain(
            self.model, image, index, method, findings=names, decision=decision, tta=self.tta, limits=self.limits
        )

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
