"""An ONNX graph while it is written: nodes, constants, and values with their layout in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import keras
import ml_dtypes  # noqa: F401  (NumPy knows bfloat16 from here on)
import numpy as np

from zoo.core.errors import ExportError
from zoo.export.onnx.folding import Node, fold

if TYPE_CHECKING:
    import onnx

#: Old enough for every runtime in use, new enough for all operations written here.
OPSET, IR_VERSION = 17, 8

#: A protobuf ends at 2 GB; the structure beside the constants needs some.
MAX_BYTES = 2**31 - 2**24

#: Axes of Keras' maps (batch, height, width, channels) -> where ONNX has them (batch, channels, height, width).
FIRST = (0, 2, 3, 1)


@dataclass(frozen=True)
class Value:
    """A tensor of the graph. A tensor of four axes has its channels first there, and last in Keras.

    Attributes:
        name: Its name in the graph.
        spec: Its shape and dtype in Keras.
    """

    name: str
    spec: keras.KerasTensor

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape in Keras: the batch is None, channels are last."""
        return tuple(self.spec.shape)


class Graph:
    """Collects nodes, in the order in which they compute, and constants.

    >>> graph = Graph()
    >>> with graph.inside("head"):
    ...     graph.add("Relu", "x")
    'head/Relu_0'
    """

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._constants: dict[str, np.ndarray] = {}
        self._scope: list[str] = []

    @contextmanager
    def inside(self, name: str) -> Iterator[None]:
        """In the block the names of added nodes and constants begin with this name."""
        self._scope.append(name)
        try:
            yield
        finally:
            self._scope.pop()

    @property
    def scope(self) -> str:
        """The names of the enclosing `inside` blocks, as a path."""
        return "/".join(self._scope)

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node of one output, and returns the output's name."""
        return self.add_many(kind, 1, *inputs, **attributes)[0]

    def add_as(self, name: str, kind: str, *inputs: str) -> None:
        """Adds a node whose output has exactly this name: one of the graph's outputs."""
        self._nodes.append(Node(kind, name, inputs, (name,), {}))

    def add_many(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Adds a node, and returns the names of its outputs."""
        name = self._name(kind)
        names = [name if i == 0 else f"{name}:{i}" for i in range(outputs)]
        self._nodes.append(Node(kind, name, inputs, tuple(names), attributes))
        return names

    def constant(self, array: Any, dtype: str = "float32") -> str:
        """Adds a constant, which is written as float32 or int64, and returns its name."""
        name = self._name("constant")
        # float64 until the constants are folded into each other.
        self._constants[name] = np.asarray(array, "float64" if dtype == "float32" else dtype)
        return name

    def model(
        self, inputs: Sequence[Any], outputs: Sequence[Any], facts: Mapping[str, str], *, half: bool = False
    ) -> onnx.ModelProto:
        """The finished ONNX model: convolutions folded, and verified by ONNX's own checker.

        Args:
            inputs: Value infos, from `onnx.helper`.
            outputs: Value infos, from `onnx.helper`.
            facts: Metadata, key -> text.
            half: Store constants of two and more axes in bfloat16, with a cast to float32 behind each.

        Raises:
            ExportError: The constants together exceed what one ONNX file can hold.
        """
        import onnx
        from onnx import helper

        folded, constants = fold(self._nodes, self._constants)
        if half:
            folded, constants = _halved(folded, constants)
        nodes = [helper.make_node(n.kind, n.inputs, n.outputs, name=n.name, **n.attributes) for n in folded]
        graph = helper.make_graph(nodes, "xrayslam-zoo", inputs, outputs, _tensors(constants))
        opset = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION, producer_name="xrayslam-zoo")
        helper.set_model_props(model, dict(facts))
        onnx.checker.check_model(model)
        return model

    def _name(self, kind: str) -> str:
        return f"{self.scope}/{kind}_{len(self._nodes) + len(self._constants)}"


def _halved(nodes: Sequence[Node], constants: Mapping[str, np.ndarray]) -> tuple[list[Node], dict[str, np.ndarray]]:
    """Stores kernels in bfloat16, each behind a cast that a runtime computes once."""
    from onnx import TensorProto

    large = {name for name, value in constants.items() if value.dtype.kind == "f" and value.ndim > 1}
    stored = {
        f"{n}/bfloat16" if n in large else n: v.astype("bfloat16") if n in large else v for n, v in constants.items()
    }
    to = {"to": TensorProto.FLOAT}
    casts = [Node("Cast", f"{name}/Cast", (f"{name}/bfloat16",), (name,), to) for name in constants if name in large]
    return [*casts, *nodes], stored


def _tensors(constants: Mapping[str, np.ndarray]) -> list[onnx.TensorProto]:
    from onnx import numpy_helper

    stored = {n: np.ascontiguousarray(v, "float32" if v.dtype.kind == "f" else v.dtype) for n, v in constants.items()}
    if (size := sum(value.nbytes for value in stored.values())) > MAX_BYTES:
        raise ExportError(f"the weights are {size:,} bytes, one ONNX file holds {MAX_BYTES:,}")
    return [numpy_helper.from_array(value, name) for name, value in stored.items()]


def axes_of(axes: int | Sequence[int] | None, rank: int) -> list[int]:
    """Converts Keras' axes (negative ones count from the end, None means all) to those of the graph.

    >>> axes_of(-1, 4), axes_of((1, 2), 4), axes_of(-1, 2)
    ([1], [2, 3], [1])
    """
    listed = range(rank) if axes is None else [axes] if isinstance(axes, int) else axes
    found = [axis % rank for axis in listed]
    return sorted(FIRST[axis] for axis in found) if rank == 4 else sorted(found)


def channels_first(array: np.ndarray) -> np.ndarray:
    """A constant with its channels, of four axes the last, moved to where the graph has them."""
    return np.transpose(array, np.argsort(FIRST)) if array.ndim == 4 else array
