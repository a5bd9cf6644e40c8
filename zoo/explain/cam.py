"""Class activation maps of one classifier, computed in NumPy from a feature map and the gradient of a logit.

The maps are signed: the ReLU at the end of Grad-CAM and its variants is applied after the members of an ensemble were
averaged (`zoo.explain.explanation`). Their unit is logits per image, so that members with grids of different sizes can
be added: the mean of a map over its cells is the part of the logit that it explains. For CAM, and for Grad-CAM of a
head with global average pooling (GAP), this part plus the bias is exactly the logit; for other heads, Grad-CAM gives a
first-order approximation. LayerCAM uses positive gradients only, so its map explains the evidence for the finding.
Grad-CAM++ has no such unit: its weights are relative (at most half of CAM's, for a GAP head).
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from zoo.core.errors import UnknownNameError, UsageError
from zoo.explain.gradients import feature_maps, head_gradients
from zoo.models.classifier import Classifier
from zoo.models.heads import GAPHead

#: "cam" needs a GAP head; the other methods work with any differentiable head.
METHODS = ("cam", "gradcam", "gradcam++", "layercam")


def maps_of_members(
    members: Sequence[Classifier], pixels: np.ndarray, indices: np.ndarray, method: str
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Computes logits and maps of each member of an ensemble.

    Args:
        members: The members.
        pixels: uint8 (n, h, w, channels), or one image that is explained for all of `indices`.
        indices: int (n,), the finding that each image is explained for.
        method: As in `class_maps`.

    Returns:
        For each member float32 (n, findings) logits, and float32 (n, rows, columns) maps on its own grid.
    """
    logits, maps = [], []
    for member in members:
        features = feature_maps(member.backbone, pixels)
        if len(features) < len(indices):
            features = np.repeat(features, len(indices), axis=0)
        found, gradients = head_gradients(member.head, features, indices)
        logits.append(found)
        maps.append(class_maps(member.head, features, gradients, indices, method, member.name))
    return logits, maps


def class_maps(
    head: keras.layers.Layer,
    features: np.ndarray,
    gradients: np.ndarray,
    indices: np.ndarray,
    method: str = "gradcam",
    name: str = "",
) -> np.ndarray:
    """Computes the map of one finding for each image.

    Args:
        head: The classifier's head; CAM reads its weights.
        features: float32 (n, rows, columns, features).
        gradients: Gradients of the finding's logit with respect to `features`, of the same shape.
        indices: int (n,), the finding of each image.
        method: One of `METHODS`.
        name: Name of the classifier, for the error.

    Returns:
        float32 (n, rows, columns), signed, in logits per image.

    Raises:
        UnknownNameError: No such method.
        ValueError: CAM with a head that is not global average pooling and a linear layer.
    """
    check_method(method)
    if method == "cam":
        return cam(features, gap_kernel(head, name)[:, indices].T)
    if method == "gradcam++":
        return gradcam_plus_plus(features, gradients)
    places = features.shape[1] * features.shape[2]
    return places * (gradcam if method == "gradcam" else layercam)(features, gradients)


def check_method(method: str) -> None:
    """Raises `UnknownNameError` with the closest names if `method` is not in `METHODS`."""
    if method not in METHODS:
        raise UnknownNameError("method of explanation", method, METHODS)


def cam(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Features weighed as the linear map behind their mean does (Zhou et al. 2016, arXiv:1512.04150, eq. 2).

    Args:
        features: float32 (n, rows, columns, features).
        weights: (n, features), the finding's column of the linear map.

    Returns:
        float32 (n, rows, columns), whose mean plus the bias is the logit.
    """
    return _weighed(features, weights)


def gradcam(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Features weighed by their mean gradients (Selvaraju et al. 2017, arXiv:1610.02391, eq. 1 and 2 before the ReLU).

    Args:
        features: float32 (n, rows, columns, features).
        gradients: Of the same shape.

    Returns:
        float32 (n, rows, columns). Times the number of places it is in logits.
    """
    return _weighed(features, gradients.mean(axis=(1, 2)))


def gradcam_plus_plus(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Grad-CAM++ (Chattopadhay et al. 2018, arXiv:1710.11063), of the logit instead of its exponential.

    The paper takes exp(logit) as the score; the factor exp(logit) is left out, which is the same for all places of a
    image. Its weights assume features >= 0. A feature whose sum over the image is negative (after swish or a layer
    norm) counts as one of sum 0, where the formula would have a pole.

    Arguments and result as `gradcam`, but without a unit.
    """
    positive = np.maximum(gradients, 0)
    total = np.maximum(features.sum(axis=(1, 2), keepdims=True), 0)
    # g^2 / (2 g^2 + sum(A) g^3) with g^2 cancelled; where g <= 0 the factor `positive` is 0.
    alpha = 1 / (2 + total * positive)
    return _weighed(features, (alpha * positive).sum(axis=(1, 2)))


def layercam(features: np.ndarray, gradients: np.ndarray) -> np.ndarray:
    """Features weighed place by place by their positive gradients (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943).

    Arguments and result as `gradcam`.
    """
    return np.einsum("nrcf,nrcf->nrc", features, np.maximum(gradients, 0), dtype=np.float64).astype(np.float32)


def gap_kernel(head: keras.layers.Layer, name: str = "") -> np.ndarray:
    """float32 (features, findings), the linear map of a head that takes the plain mean; `ValueError` for another."""
    # A subclass that pools or computes in another way (GeM is one) has no closed form.
    if not isinstance(head, GAPHead) or type(head).pool is not GAPHead.pool or type(head).call is not GAPHead.call:
        others = ", ".join(repr(m) for m in METHODS if m != "cam")
        raise UsageError(
            f"'cam' needs a 'gap' head, but {name or head.name!r} has a {type(head).__name__}: use one of {others}"
        )
    return keras.ops.convert_to_numpy(keras.ops.cast(head.linear.kernel, "float32"))


def _weighed(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    # Summed in float64: thousands of terms of both signs would lose digits in float32.
    return np.einsum("nrcf,nf->nrc", features, weights, dtype=np.float64).astype(np.float32)
