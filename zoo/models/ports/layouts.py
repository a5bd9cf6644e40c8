"""How a variable of ours is made from the tensors of a PyTorch network: axes, names, batch norms.

A module of a family of networks lists its variables with these functions; `zoo.models.ports.convert` applies them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: PyTorch's default for batch normalisation.
TORCH_EPSILON = 1e-5


@dataclass(frozen=True)
class Variable:
    """One variable of our network.

    Attributes:
        ours: Its name in a safetensors file of the zoo, such as "backbone/conv1_conv/kernel".
        theirs: Names of the tensors that it is made from.
        make: Makes the value from the tensors, in this order.
    """

    ours: str
    theirs: tuple[str, ...]
    make: Callable[..., np.ndarray]


def same(ours: str, theirs: str) -> Variable:
    """A variable with the axes of the tensor."""
    return Variable(ours, (theirs,), np.asarray)


def convolution(ours: str, theirs: str, bias: bool = False) -> list[Variable]:
    """Kernel (out, in, h, w) -> (h, w, in, out), and its bias.

    >>> [v.ours for v in convolution("backbone/conv", "conv0", bias=True)]
    ['backbone/conv/kernel', 'backbone/conv/bias']
    """
    kernel = Variable(f"{ours}/kernel", (f"{theirs}.weight",), lambda w: w.transpose(2, 3, 1, 0))
    return [kernel, *_bias(ours, theirs, bias)]


def grey_convolution(ours: str, theirs: str) -> list[Variable]:
    """Kernel (out, 1, h, w) of a first layer of one channel -> (h, w, 3, out), a third of it for each equal channel.

    Our backbones repeat a grey level to three channels; the sum over them is that of the one channel.
    """

    def kernel(weight: np.ndarray) -> np.ndarray:
        return np.repeat(weight.transpose(2, 3, 1, 0) / 3, 3, axis=2).astype(weight.dtype)

    return [Variable(f"{ours}/kernel", (f"{theirs}.weight",), kernel)]


def depthwise(ours: str, theirs: str, bias: bool = False) -> list[Variable]:
    """Depthwise kernel (channels, 1, h, w) -> (h, w, channels, 1), and its bias."""
    kernel = Variable(f"{ours}/kernel", (f"{theirs}.weight",), lambda w: w.transpose(2, 3, 0, 1))
    return [kernel, *_bias(ours, theirs, bias)]


def dense(ours: str, theirs: str, bias: bool = True) -> list[Variable]:
    """Kernel (out, in) -> (in, out), and its bias."""
    return [Variable(f"{ours}/kernel", (f"{theirs}.weight",), lambda w: w.transpose()), *_bias(ours, theirs, bias)]


def layer_norm(ours: str, theirs: str) -> list[Variable]:
    """Gamma and beta."""
    return [same(f"{ours}/gamma", f"{theirs}.weight"), same(f"{ours}/beta", f"{theirs}.bias")]


def batch_norm(ours: str, theirs: str, epsilon: float, theirs_epsilon: float = TORCH_EPSILON) -> list[Variable]:
    """Gamma, beta, and the moving mean and variance.

    Args:
        ours: Name of our layer.
        theirs: Name of their layer.
        epsilon: What our layer adds to the variance. If it is not what theirs adds, gamma takes up the difference, so
            that the variance stays as it is (subtracting the difference could make a small one negative).
        theirs_epsilon: What their layer adds to the variance.
    """

    def gamma(weight: np.ndarray, variance: np.ndarray) -> np.ndarray:
        if epsilon == theirs_epsilon:
            return weight
        wide = variance.astype("float64")
        return (weight * np.sqrt((wide + epsilon) / (wide + theirs_epsilon))).astype(weight.dtype)

    return [
        Variable(f"{ours}/gamma", (f"{theirs}.weight", f"{theirs}.running_var"), gamma),
        same(f"{ours}/beta", f"{theirs}.bias"),
        same(f"{ours}/moving_mean", f"{theirs}.running_mean"),
        same(f"{ours}/moving_variance", f"{theirs}.running_var"),
    ]


def _bias(ours: str, theirs: str, bias: bool) -> list[Variable]:
    return [same(f"{ours}/bias", f"{theirs}.bias")] if bias else []
