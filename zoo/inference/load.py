"""`zoo.load`: from a name, a folder or a place on a Hub to a `Predictor`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.inference.predictor import Predictor
from zoo.inference.starting import Choice, LoadOptions, RuntimeName
from zoo.inference.stream import Images


def load(
    name: str | Path,
    *,
    runtime: RuntimeName = "keras",
    precision: Choice = "float32",
    members: Sequence[str] | None = None,
    force_download: bool = False,
) -> Predictor:
    """Loads a model with its weights, labels, temperature and thresholds.

    Args:
        name: A name of `zoo.list_models(kind="ensemble")` that has weights; "hf://owner/repo" or
            "hf://owner/repo@revision" on a Hub; or the folder of a release (a `Path`, or a string such as "./release").
        runtime: "keras"; or "openvino" or "onnx", which need the extra `serve`, are several times as fast on a CPU, and
            import no Keras once the graph is in the cache below `ZOO_HOME`. Their logits differ from Keras' by at most
            1e-4 of the largest one in float32; `explain` is Keras' alone.
        precision: "float32"; with "openvino" also "bfloat16", where the CPU has it (logits within 2 % of the largest
            one); "int8", where the release carries an export that was accepted; or "auto", the fastest of these on
            this CPU, measured once.
        members: Names of the members to take, and to download; all by default. One member decides with its own
            temperature and thresholds, several that are not all have none.
        force_download: Fetch from the Hub again what the cache holds already.

    Returns:
        A `Predictor`. Files are checked against the release's sha256 first; at the first load on this machine, backend
        and versions the network is held against the release's golden logits, which is remembered in `ZOO_HOME`.

    Raises:
        UnknownNameError: No such model or member; names the closest ones.
        FileNotFoundError: The model has no weights on this machine; says what would give it some.
        ReleaseError: The release is incomplete or altered, computes something else here, or carries no int8 export.
        ExportError: A layer has no counterpart in the runtime, or the graph's logits are not Keras'.
        HubError: The Hub cannot give it.
        ImportError: The runtime's library is not installed; names the extra.

    Example:
        >>> load("xrayslam-demo").findings(["film.jpg"])  # doctest: +SKIP
    """
    chosen = None if members is None else tuple(members)
    return Predictor.load(name, LoadOptions(runtime, precision, chosen, force_download))


def predict_ensemble(paths: Images, model: str | Path = "xrayslam-ensemble", *, calibrated: bool = True) -> np.ndarray:
    """Probabilities of the ensemble, as the original solution's function of the same name.

    Args:
        paths: One image or several, as for `Predictor.predict`.
        model: Name or folder, as for `load`.
        calibrated: False gives the plain sigmoid of the mean logits, as the original does.

    Returns:
        float32 (n, findings) probabilities.
    """
    return load(model).predict(paths, calibrated=calibrated)
