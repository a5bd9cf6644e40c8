"""A rule for each operation of `keras.ops`: how it is written in ONNX. Layers are split into these operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from zoo.core.errors import ExportError
from zoo.export.onnx.graph import FIRST, Graph, Value, axes_of, channels_first

#: A rule is called with the graph, the operation, the shape of its result in Keras, and the operation's arguments; it
#: returns the name of the result, or the names of several.
Rule = Callable[..., Any]


def _same(kind: str, **attributes: Any) -> Rule:
    """The rule for an operation from one tensor to one of the same shape."""
    return lambda g, op, shape, x: g.add(kind, x.name, **attributes)


def _pair(kind: str) -> Rule:
    """The rule for an operation on two tensors, or a tensor and a constant, that are broadcast."""
    return lambda g, op, shape, a, b: g.add(kind, _operand(g, a, shape), _operand(g, b, shape))


def _reduce(kind: str) -> Rule:
    def rule(g: Graph, op: Any, shape: Any, x: Value) -> str:
        rank, axes = len(x.shape), axes_of(op.axis, len(x.shape))
        kept = [axis for axis in range(rank) if axis not in axes]
        if rank == 4 and not op.keepdims and 1 in kept and kept[-1] != 1:
            raise ExportError(f"{g.scope}: a {kind} over some of height and width that drops them is not exported")
        if kind == "ReduceSum":
            return g.add(kind, x.name, g.constant(axes, "int64"), keepdims=int(op.keepdims))
        return g.add(kind, x.name, axes=axes, keepdims=int(op.keepdims))

    return rule


def _relu(g: Graph, op: Any, shape: Any, x: Value, limit: float | None = None) -> str:
    """`keras.activations.relu`, whose operation has fields of its own, and `keras.ops.relu` and `relu6`."""
    slope, threshold = getattr(op, "negative_slope", 0.0), getattr(op, "threshold", 0.0)
    limit = getattr(op, "max_value", limit)
    if threshold or (slope and limit is not None):
        raise ExportError(f"{g.scope}: a ReLU with a threshold, or with both a slope and a limit, is not exported")
    if limit is not None:
        return g.add("Clip", x.name, g.constant(0.0), g.constant(limit))
    return g.add("LeakyRelu", x.name, alpha=float(slope)) if slope else g.add("Relu", x.name)


def _silu(g: Graph, op: Any, shape: Any, x: Value) -> str:
    return g.add("Mul", x.name, g.add("Sigmoid", x.name))


def _gelu(g: Graph, op: Any, shape: Any, x: Value) -> str:
    if op.approximate:
        cubic = g.add("Mul", g.constant(0.044715), g.add("Pow", x.name, g.constant(3.0)))
        inner = g.add("Mul", g.constant(np.sqrt(2 / np.pi)), g.add("Add", x.name, cubic))
        gate = g.add("Tanh", inner)
    else:
        gate = g.add("Erf", g.add("Mul", x.name, g.constant(np.sqrt(0.5))))
    return g.add("Mul", g.add("Mul", x.name, g.constant(0.5)), g.add("Add", gate, g.constant(1.0)))


def _clip(g: Graph, op: Any, shape: Any, x: Value) -> str:
    return g.add("Clip", x.name, g.constant(op.x_min), g.constant(op.x_max))


def _square(g: Graph, op: Any, shape: Any, x: Value) -> str:
    return g.add("Mul", x.name, x.name)


def _rsqrt(g: Graph, op: Any, shape: Any, x: Value) -> str:
    return g.add("Reciprocal", g.add("Sqrt", x.name))


def _softmax(g: Graph, op: Any, shape: Any, x: Value) -> str:
    axes = axes_of(op.axis, len(x.shape))
    if len(axes) != 1:
        raise ExportError(f"{g.scope}: a softmax over several axes is not exported")
    return g.add("Softmax", x.name, axis=axes[0])


def _cast(g: Graph, op: Any, shape: Any, x: Value) -> str:
    """The graph states float32 throughout; a runtime's options choose the arithmetic."""
    if not str(op.dtype).startswith(("float", "bfloat")):
        raise ExportError(f"{g.scope}: a cast to {op.dtype} is not exported")
    return x.name


def _conv(g: Graph, op: Any, shape: Any, x: Value, kernel: Any) -> str:
    weights = np.transpose(_array(kernel), (3, 2, 0, 1))
    return _convolve(g, op, x, weights, groups=x.shape[-1] // weights.shape[1])


def _depthwise_conv(g: Graph, op: Any, shape: Any, x: Value, kernel: Any) -> str:
    weights = _array(kernel)
    rows, columns, channels, multiplier = weights.shape
    weights = np.transpose(weights, (2, 3, 0, 1)).reshape(channels * multiplier, 1, rows, columns)
    return _convolve(g, op, x, weights, groups=channels)


def _convolve(g: Graph, op: Any, x: Value, weights: np.ndarray, groups: int) -> str:
    window, strides, dilation = weights.shape[2:], _two(op.strides), _two(op.dilation_rate)
    where = _window(g, op, x, window, strides, dilation)
    return g.add("Conv", x.name, g.constant(weights), dilations=dilation, group=groups, **where)


def _pool(kind: str) -> Rule:
    def rule(g: Graph, op: Any, shape: Any, x: Value) -> str:
        window = _two(op.pool_size)
        return g.add(kind, x.name, **_window(g, op, x, window, _two(op.strides or window), (1, 1)))

    return rule


def _batch_norm(
    g: Graph, op: Any, shape: Any, x: Value, mean: Any, variance: Any, offset: Any = None, scale: Any = None
) -> str:
    """One factor and one summand a channel, which are folded into a preceding convolution."""
    if len(x.shape) not in (2, 4) or op.axis % len(x.shape) != len(x.shape) - 1:
        raise ExportError(f"{g.scope}: a batch norm over another axis than the last is not exported")
    factor = 1.0 / np.sqrt(_array(variance) + op.epsilon) * (1.0 if scale is None else _array(scale))
    summand = (0.0 if offset is None else _array(offset)) - _array(mean) * factor
    scaled = g.add("Mul", x.name, _operand(g, factor, shape))
    return g.add("Add", scaled, _operand(g, summand, shape))


def _layer_norm(g: Graph, op: Any, shape: Any, x: Value, gamma: Any = None, beta: Any = None) -> str:
    axes = axes_of(op.axis, len(x.shape))
    if op.rms_scaling:
        raise ExportError(f"{g.scope}: a layer norm without its mean is not exported")
    centred = g.add("Sub", x.name, g.add("ReduceMean", x.name, axes=axes))
    variance = g.add("ReduceMean", g.add("Mul", centred, centred), axes=axes)
    result = g.add("Div", centred, g.add("Sqrt", g.add("Add", variance, g.constant(op.epsilon))))
    if gamma is not None:
        result = g.add("Mul", result, _operand(g, gamma, shape))
    return result if beta is None else g.add("Add", result, _operand(g, beta, shape))


def _matmul(g: Graph, op: Any, shape: Any, x: Value, kernel: Any) -> str:
    if isinstance(kernel, Value) or isinstance(x, np.ndarray):
        raise ExportError(f"{g.scope}: a product of two tensors is not exported")
    weights = _array(kernel)
    if len(x.shape) == 4:
        return g.add("Conv", x.name, g.constant(weights.T[:, :, None, None]))
    return g.add("MatMul", x.name, g.constant(weights))


def _pad(g: Graph, op: Any, shape: Any, x: Value, constant_values: Any = None) -> str:
    width = np.asarray(op.pad_width if len(op.pad_width) > 1 else op.pad_width * len(x.shape))
    width = width[np.argsort(FIRST)] if len(x.shape) == 4 else width
    mode = {"constant": "constant", "reflect": "reflect", "symmetric": ""}.get(op.mode, "")
    if not mode:
        raise ExportError(f"{g.scope}: padding {op.mode!r} is not exported")
    value = 0.0 if constant_values is None else constant_values
    return g.add("Pad", x.name, g.constant(width.T.ravel(), "int64"), g.constant(value), mode=mode)


def _concatenate(g: Graph, op: Any, shape: Any, xs: Sequence[Value]) -> str:
    return g.add("Concat", *(x.name for x in xs), axis=axes_of(op.axis, len(shape))[0])


def _split(g: Graph, op: Any, shape: Any, x: Value) -> list[str]:
    parts, whole = op.indices_or_sections, x.shape[op.axis]
    if whole is None:
        raise ExportError(f"{g.scope}: a split of the batch is not exported")
    sizes = [whole // parts] * parts if isinstance(parts, int) else np.diff([0, *parts, whole])
    return g.add_many("Split", len(sizes), x.name, g.constant(sizes, "int64"), axis=axes_of(op.axis, len(x.shape))[0])


def _reshape(g: Graph, op: Any, shape: Any, x: Value) -> str:
    """Reshapes in Keras' order of axes, by transposing before and after; maps of one pixel need no transposing."""
    name = x.name
    if len(x.shape) == 4 and x.shape[1:3] != (1, 1):
        name = g.add("Transpose", name, perm=[0, 2, 3, 1])
    wanted = [0 if i == 0 else size for i, size in enumerate(shape)]
    if len(shape) == 4 and shape[1:3] == (1, 1):
        return g.add("Reshape", name, g.constant([0, shape[3], 1, 1], "int64"))
    name = g.add("Reshape", name, g.constant(wanted, "int64"))
    return g.add("Transpose", name, perm=[0, 3, 1, 2]) if len(shape) == 4 else name


def _two(value: Any) -> tuple[int, int]:
    numbers = (value, value) if isinstance(value, int) else tuple(int(v) for v in value)
    return numbers if len(numbers) == 2 else (numbers[0], numbers[0])


def _window(
    g: Graph, op: Any, x: Value, window: Sequence[int], strides: Sequence[int], dilation: Sequence[int]
) -> dict[str, Any]:
    """Attributes of a sliding window; "same" padding puts the odd pixel at the end, as TensorFlow does."""
    if op.data_format not in (None, "channels_last") or len(x.shape) != 4:
        raise ExportError(f"{g.scope}: only two-dimensional maps with channels last are exported")
    pads = [(0, 0), (0, 0)]
    if op.padding == "same":
        reach = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
        sizes = zip(x.shape[1:3], reach, strides, strict=True)
        wanted = [max((-(-size // s) - 1) * s + r - size, 0) for size, r, s in sizes]  # type: ignore[operator]
        pads = [(w // 2, w - w // 2) for w in wanted]
    return {"kernel_shape": window, "strides": strides, "pads": [*(p[0] for p in pads), *(p[1] for p in pads)]}


def _operand(g: Graph, x: Any, shape: Sequence[int | None]) -> str:
    """The name of a value, or of a constant shaped to broadcast against a result of this shape."""
    rank = len(shape)
    if isinstance(x, Value):
        if len(x.shape) not in (0, rank):
            raise ExportError(f"{g.scope}: tensors of {len(x.shape)} and {rank} axes are not combined in an export")
        return x.name
    array = _array(x)
    if rank == 4 and array.ndim:
        array = channels_first(array.reshape((1,) * (4 - array.ndim) + array.shape))
    return g.constant(array)


def _array(x: Any) -> np.ndarray:
    if isinstance(x, Value):
        raise ExportError("weights that are computed from the image are not exported")
    return np.asarray(x if isinstance(x, np.ndarray) or np.isscalar(x) else keras.ops.convert_to_numpy(x), np.float64)


#: Class name of an operation -> its rule.
RULES: dict[str, Rule] = {
    **dict.fromkeys(("Add", "BatchAdd"), _pair("Add")),
    **{name: _pair(kind) for name, kind in {"Subtract": "Sub", "Multiply": "Mul", "Power": "Pow"}.items()},
    **dict.fromkeys(("Divide", "TrueDivide"), _pair("Div")),
    **{name: _pair(kind) for name, kind in {"Maximum": "Max", "Minimum": "Min"}.items()},
    **{name: _same(name) for name in ("Sigmoid", "Tanh", "Softplus", "Exp", "Log", "Sqrt", "Reciprocal")},
    **{name: _same(kind) for name, kind in {"Abs": "Abs", "Absolute": "Abs", "Negative": "Neg"}.items()},
    **dict.fromkeys(("Identity", "ConvertToTensor"), lambda g, op, shape, x: x.name),
    "HardSigmoid": _same("HardSigmoid", alpha=1 / 6, beta=0.5),
    "HardSilu": _same("HardSwish"),
    **dict.fromkeys(("Relu", "ReLU", "LeakyRelu"), _relu),
    "Relu6": lambda g, op, shape, x: _relu(g, op, shape, x, 6.0),
    "Silu": _silu,
    "Gelu": _gelu,
    "Clip": _clip,
    "Square": _square,
    "Rsqrt": _rsqrt,
    "Softmax": _softmax,
    "Cast": _cast,
    "Conv": _conv,
    "DepthwiseConv": _depthwise_conv,
    "MaxPool": _pool("MaxPool"),
    "AveragePool": _pool("AveragePool"),
    "BatchNorm": _batch_norm,
    "LayerNorm": _layer_norm,
    "Matmul": _matmul,
    "Mean": _reduce("ReduceMean"),
    "Sum": _reduce("ReduceSum"),
    **dict.fromkeys(("Max", "Amax"), _reduce("ReduceMax")),
    **dict.fromkeys(("Min", "Amin"), _reduce("ReduceMin")),
    "Pad": _pad,
    "Concatenate": _concatenate,
    "Split": _split,
    "Reshape": _reshape,
}
