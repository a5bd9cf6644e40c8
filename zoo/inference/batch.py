"""`BatchPredictor`: a model as a function of batches of a table, for Ray, Spark and other engines."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from zoo.core.errors import ReleaseError, UsageError
from zoo.data.images.limits import DEFAULT, Limits
from zoo.inference.remote import predictions
from zoo.inference.starting import LoadOptions
from zoo.inference.stream import Prediction

if TYPE_CHECKING:
    import pandas as pd

    from zoo.inference.predictor import Predictor
    from zoo.inference.starting import Choice, RuntimeName

T = TypeVar("T", bound="Mapping[str, Any] | pd.DataFrame")

#: Columns that hold images, in the order in which they are looked for: those that Ray's and Spark's readers make.
IMAGES = ("image", "bytes", "content", "path")

_loaded: dict[tuple[str, LoadOptions], Predictor] = {}
_lock = threading.Lock()


class BatchPredictor:
    """Predicts batches. It can be pickled, and the model is loaded once a process, at the first batch.

    Args:
        model: A name, folder or reference, as of `zoo.load`; every process has to find it.
        runtime: "keras", "openvino" or "onnx".
        precision: As of `zoo.load`.
        column: The column of images: paths, addresses such as s3://bucket/a.png, contents of files, or arrays in
            0..255. By default the first of "image", "bytes", "content" and "path" that a batch has.
        batch_size: Images that the network gets at a time; the runtime's default if None.
        limits: Limits on each image.
        manifest_sha256: sha256 of the manifest of the only release that is accepted, so that no process scores with
            another; "" for any.

    Example:
        >>> import pickle, zoo
        >>> model = pickle.loads(pickle.dumps(zoo.BatchPredictor("nih-lite")))
        >>> batch = model({"path": [*map(str, zoo.example_images()), "none.png"]})
        >>> batch["Pleural Effusion"].dtype, batch["error"][-1]
        (dtype('float32'), 'none.png: no such file')
    """

    def __init__(
        self,
        model: str | Path,
        *,
        runtime: RuntimeName = "keras",
        precision: Choice = "float32",
        column: str | None = None,
        batch_size: int | None = None,
        limits: Limits = DEFAULT,
        manifest_sha256: str = "",
    ) -> None:
        self.model, self.options = str(model), LoadOptions(runtime, precision)
        self.column, self.batch_size, self.limits = column, batch_size, limits
        self.manifest_sha256 = manifest_sha256

    def __repr__(self) -> str:
        return f"BatchPredictor({self.model!r}: {self.options.runtime} {self.options.precision})"

    @property
    def predictor(self) -> Predictor:
        """The model, loaded at the first use in this process.

        Raises:
            ReleaseError: The name stands for another release than the accepted one.
            ZooError: As `zoo.load`.
        """
        from zoo.inference.predictor import Predictor

        with _lock:
            key = self.model, self.options
            if key not in _loaded:
                _loaded[key] = Predictor.load(self.model, self.options)
            found = _loaded[key]
        if self.manifest_sha256 and found.manifest_sha256 != self.manifest_sha256:
            raise ReleaseError(
                f"{self.model} is another release here (manifest {found.manifest_sha256[:12]}) than the accepted one "
                f"({self.manifest_sha256[:12]}): install the same on every machine"
            )
        found = found.__copy__()
        found.limits = self.limits
        return found

    def __call__(self, batch: T) -> T:
        """Returns a batch with the results in place of the images.

        Args:
            batch: Columns of the same length, as a mapping or a table of pandas.

        Returns:
            The same kind of batch: its columns (without the images, if they are bytes or arrays), the float32
            probability of each finding that the model was trained on, "error" ("", or why an image has none), "quality"
            and "reason" (`zoo.gate`).

        Raises:
            UsageError: The batch has no column of images, or already has a column of a result.
        """
        import pandas as pd

        column = self._column(list(batch.keys()))
        images = list(batch[column])
        table = self.predictor.wide_table(self._predicted(images)).drop(columns="image")
        kept = [name for name in batch.keys() if name != column or _are_names(images)]  # noqa: SIM118 - also of pandas
        if both := [name for name in kept if name in table.columns]:
            raise UsageError(f"the batch already has columns of these names: {', '.join(both)}; rename them")
        found = {name: table[name].to_numpy(np.float32 if table[name].dtype.kind == "f" else object) for name in table}
        if isinstance(batch, pd.DataFrame):
            return batch[kept].assign(**{str(name): values for name, values in found.items()})
        return {name: batch[name] for name in kept} | found  # type: ignore[return-value]

    def probabilities(self, images: Iterable[Any]) -> np.ndarray:
        """Returns the probabilities of images, float32 (n, findings); NaN for one that cannot be read.

        Args:
            images: Paths, addresses, contents of files or arrays.
        """
        from zoo.evaluation.decision import probabilities

        return probabilities(self._predicted(list(images)).logits, self.predictor.decision)

    def _column(self, names: Sequence[str]) -> str:
        wanted = IMAGES if self.column is None else (self.column,)
        for name in wanted:
            if name in names:
                return name
        has = ", ".join(map(repr, names)) or "none"
        raise UsageError(f"no column {' or '.join(map(repr, wanted))} of images; the batch has {has}: give column=")

    def _predicted(self, images: Sequence[Any]) -> Prediction:
        model = self.predictor
        if _are_names(images):
            parts = list(predictions(model, [str(image) for image in images], self.batch_size))
        else:
            # What a table has for a missing value is an empty file, which cannot be read.
            held = [b"" if _is_missing(image) else image for image in images]
            parts = list(model.stream(held, batch_size=self.batch_size))
        logits = [np.empty((0, len(model.labels)), np.float32), *(part.logits for part in parts)]
        return Prediction(
            [name for part in parts for name in part.names],
            np.concatenate(logits),
            [error for part in parts for error in part.errors],
            [verdict for part in parts for verdict in part.verdicts],
        )


def _are_names(images: Sequence[Any]) -> bool:
    return all(isinstance(image, str | os.PathLike) for image in images)


def _is_missing(image: object) -> bool:
    return image is None or (isinstance(image, float) and np.isnan(image))


def _forget() -> None:
    """A forked process starts without models, since no network runs there (`core.process`)."""
    global _lock
    _lock = threading.Lock()
    _loaded.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
