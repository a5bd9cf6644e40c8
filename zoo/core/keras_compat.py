"""The private parts of Keras and TensorFlow that this library uses or replaces: all of them, each with its reason.

Everything else uses public names only; a test reads the source and fails on any other use. Checked on Keras 3.15.1 and
TensorFlow 2.21.0: `pyproject.toml` allows no later minor version of either, and whoever raises these bounds runs the
tests of this module on the new version first. The rules in `zoo.export.onnx` also read the class names and attributes
of the operations behind `keras.ops`, which Keras does not document; an unknown one is an `ExportError`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras

from zoo.core.errors import UsageTypeError

#: Library -> the version on which every use below was checked.
CHECKED = {"keras": "3.15.1", "tensorflow": "2.21.0"}


def run_graph(function: Any, inputs: Sequence[Any], replace: Callable[[Any], Callable[..., Any]]) -> Any:
    """Runs the graph of a functional model with other values and other operations than its own.

    Private because Keras can only call its own operations on tensors (`keras.models.clone_model` makes layers, not
    values); the ONNX writer passes values of its own through the graph. Uses `Function._run_through_graph`.

    Args:
        function: A `keras.Function`, or a functional `keras.Model`.
        inputs: One value of any kind for each input, in the order of `function.inputs`.
        replace: Called with each operation; what it returns is called with the operation's arguments.

    Returns:
        The values of the outputs, in the structure of the function's outputs.

    Example:
        >>> x = keras.KerasTensor((None, 2))
        >>> graph = keras.Function(x, keras.ops.abs(x))
        >>> run_graph(graph, ["x"], lambda operation: lambda value: f"{type(operation).__name__}({value})")
        'Absolute(x)'
    """
    return function._run_through_graph(inputs, replace)


def batches_seen(optimizer: keras.optimizers.Optimizer) -> int:
    """Number of batches that an optimiser has applied.

    Private because the public `iterations` divides by `gradient_accumulation_steps`. Uses `Optimizer._iterations`.

    Example:
        >>> batches_seen(keras.optimizers.SGD())
        0
    """
    return int(keras.ops.convert_to_numpy(optimizer._iterations))


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[tuple[keras.Variable, keras.Variable]]:
    """Each variable that an optimiser trains, with the variable that holds its moving average.

    Private because Keras only offers to replace the weights by their averages for good
    (`finalize_variable_values`). Uses `Optimizer._trainable_variables` and
    `Optimizer._model_variables_moving_average`.

    Returns:
        Pairs (variable, average) in the optimiser's order; none where it keeps no average or has not been built.

    Example:
        >>> moving_averages(keras.optimizers.SGD())
        []
    """
    inner: Any = optimizer
    if not inner.use_ema or not inner.built:
        return []
    return list(zip(inner._trainable_variables, inner._model_variables_moving_average, strict=True))


def forget_kernels() -> None:
    """Frees the 40 kB that TensorFlow keeps for each variable it made: 56 MB for the main ensemble.

    TensorFlow keeps the operation that made a variable, ready to run again. `keras.backend.clear_session` frees it too,
    but also resets names and the default graph. Operations still in use are made anew when they next run. Does nothing
    on other backends. Uses `Context.clear_kernel_cache` of `tensorflow.python.eager.context`.

    Example:
        >>> forget_kernels()
    """
    if keras.config.backend() == "tensorflow":
        from tensorflow.python.eager import context

        context.context().clear_kernel_cache()


#: Initializer classes belong to the process: one thread at a time replaces their methods.
_PATCHING = threading.RLock()


@contextmanager
def initializers_replaced(replace: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """In the block every initializer of Keras makes its values by another function.

    A replacement because Keras has no setting for variables without starting values. Uses `Initializer.__call__` of
    all subclasses of `keras.initializers.Initializer`; they are put back when the block ends, by an error too.

    Args:
        replace: Given the `__call__` of each class, returns what stands in its place in the block.

    Example:
        >>> with initializers_replaced(lambda original: lambda self, shape, dtype=None, **kwargs: (shape, dtype)):
        ...     keras.initializers.GlorotUniform()((2, 3), "float32")
        ((2, 3), 'float32')
    """
    with _PATCHING:
        originals = {
            cls: cls.__call__ for cls in _subclasses(keras.initializers.Initializer) if "__call__" in vars(cls)
        }
        for cls, original in originals.items():
            cls.__call__ = replace(original)
        try:
            yield
        finally:
            for cls, original in originals.items():
                cls.__call__ = original


def change_class(layer: keras.layers.Layer, cls: type[keras.layers.Layer]) -> None:
    """Gives a built layer the methods of a subclass of its class; its name, weights and graph stay.

    A replacement because `keras.models.clone_model` makes new layers, whose weights are new variables. The
    subclass must add no state. Uses `Layer.__class__`.

    Raises:
        UsageTypeError: `cls` is not a subclass of the layer's class.

    Example:
        >>> class Doubled(keras.layers.Identity):
        ...     def call(self, inputs):
        ...         return 2 * inputs
        >>> layer = keras.layers.Identity()
        >>> change_class(layer, Doubled)
        >>> float(layer(keras.ops.ones(())))
        2.0
    """
    if not issubclass(cls, type(layer)):
        raise UsageTypeError(f"{cls.__name__} is no subclass of {type(layer).__name__}")
    layer.__class__ = cls


def _subclasses(parent: Any) -> set[Any]:
    found: set[Any] = set()
    for child in parent.__subclasses__():
        found |= {child, *_subclasses(child)}
    return found
