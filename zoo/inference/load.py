"""`zoo.load`: makes a `Predictor` from a model name, a folder or a Hub reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.core.errors import UsageTypeError
from zoo.gate.verdict import OnReject, check_on_reject
from zoo.inference.kept import Kept
from zoo.inference.predictor import Predictor
from zoo.inference.starting import Choice, LoadOptions, RuntimeName
from zoo.inference.stream import Images

_KEPT = Kept()


def load(
    name: str | Path,
    *,
    runtime: RuntimeName = "keras",
    precision: Choice = "float32",
    members: Sequence[str] | None = None,
    force_download: bool = False,
    on_reject: OnReject = "warn",
) -> Predictor:
    """Loads a model with its weights, labels, temperature and thresholds.

    Args:
        name: A name from `zoo.list_models(kind="ensemble")` that has weights; "hf://owner/repo" or
            "hf://owner/repo@revision" for a Hub; or a release folder (a `Path`, or a string such as "./release").
        runtime: "keras"; or "openvino" or "onnx", which need the extra `serve`, are several times as fast on a CPU, and
            do not import Keras once the graph is cached in `ZOO_HOME`. In float32 their logits differ from Keras'
            logits by at most 1e-4 of the largest logit. Only "keras" supports `explain`.
        precision: "float32"; with "openvino" also "bfloat16" if the CPU supports it (accepted on 12 phantoms: at least
            99 % of the decisions stay, all but one where they are few, and no probability changes by more than 0.05;
            and of those on the scores of its test part, with the same changes, 99 % would stay),
            "int8" if the release includes an accepted int8 export, or "auto", which takes a less exact one of these
            where it is at least 1.15 times as fast on this CPU, measured once; what is refused is left for the next
            more exact one, with a warning.
        members: Names of the members to load and download; all by default. A single member uses its own temperature and
            thresholds; a subset of several members has none.
        force_download: Whether to download files again that are already in the cache.
        on_reject: What happens to an image that the release's quality checks reject (upside down, no chest radiograph):
            "warn" predicts it and warns, "skip" leaves its row NaN, "raise" raises `RejectedError`.

    Returns:
        A `Predictor`. Files are first checked against the release's sha256. On the first load with this machine,
        backend and versions, the network's logits are compared with the release's golden logits; `ZOO_HOME` stores the
        result.

    Raises:
        UnknownNameError: There is no such model or member; names the closest ones.
        FileNotFoundError: The model has no weights on this machine; states how to get some.
        UsageTypeError: `members` is a name instead of a list, or empty.
        ReleaseError: The release is incomplete or altered, gives other logits here, or has no int8 export.
        ExportError: The runtime does not support a layer, or the logits of its graph differ from those of Keras.
        HubError: The Hub cannot provide the release.
        ImportError: The library of the runtime is not installed; names the extra.

    Example:
        >>> load("xrayslam-demo").findings(["image.jpg"])  # doctest: +SKIP
    """
    if isinstance(members, str) or (members is not None and not members):
        raise UsageTypeError(f"members is a list of one name or more, or None for all, got {members!r}")
    chosen = None if members is None else tuple(dict.fromkeys(members))
    check_on_reject(on_reject)
    predictor = Predictor.load(name, LoadOptions(runtime, precision, chosen, force_download))
    predictor.on_reject = on_reject
    return predictor


def predict_ensemble(paths: Images, model: str | Path = "xrayslam-ensemble", *, calibrated: bool = True) -> np.ndarray:
    """Returns probabilities of the ensemble, like the function of this name in the original solution.

    The models that were used last (two of them) stay loaded for the next call, until `free_models`. A release that was
    installed anew under the same name is loaded anew.

    Args:
        paths: One image or several, as `Predictor.predict` accepts.
        model: Name or folder of the model, as `load` accepts.
        calibrated: False returns the sigmoid of the mean logits without calibration, as the original does.

    Returns:
        float32 (n, findings) probabilities.

    Example:
        >>> import zoo
        >>> predict_ensemble(zoo.example_images()[:1], "nih-lite").shape
        (1, 14)
    """
    kept: Predictor = _KEPT.get(model, lambda: load(model))
    return kept.predict(paths, calibrated=calibrated)


def free_models() -> int:
    """Frees the memory of the models that `predict_ensemble` keeps loaded; returns how many they were.

    Example:
        >>> free_models() >= 0
        True
    """
    return _KEPT.free()
