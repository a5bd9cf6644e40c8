"""All private parts of Keras and TensorFlow that this library uses or replaces, each with its reason.

All other modules use public names only; a test checks the source for this. The uses below were checked on Keras 3.15.1
and TensorFlow 2.21.0, and `pyproject.toml` allows no later minor version of either: run the tests of this module on a
new version before raising these bounds. The rules in `zoo.export.onnx` also read class names and attributes of the
operations behind `keras.ops`, which Keras does not document; an unknown one is an `ExportError`.
"""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import MethodType
from typing import Any

import keras

from zoo.core.errors import UsageTypeError

#: Library -> the version on which every use below was checked.
CHECKED = {"keras": "3.15.1", "tensorflow": "2.21.0"}


def run_graph(function: Any, inputs: Sequence[Any], replace: Callable[[Any], Callable[..., Any]]) -> Any:
    """Runs the graph of a functional model with other values and operations.

    There is no public way: Keras calls only its own operations, on tensors (`keras.models.clone_model` makes layers,
    not values), while the ONNX writer passes other values through the graph. Uses `Function._run_through_graph`.

    Args:
        function: A `keras.Function`, or a functional `keras.Model`.
        inputs: One value of any kind for each input, in the order of `function.inputs`.
        replace: Maps each operation to the function that is called with the operation's arguments in its place.

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
    """Counts the batches that an optimiser has applied.

    There is no public way: `iterations` divides by `gradient_accumulation_steps`. Uses `Optimizer._iterations`.

    Example:
        >>> batches_seen(keras.optimizers.SGD())
        0
    """
    return int(keras.ops.convert_to_numpy(optimizer._iterations))


def layers_within(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Lists a layer and all layers that it is made of, at any depth.

    There is no public way: `Model.layers` holds those of a model, and a layer that is no model has no such list.
    Uses `Layer._flatten_layers`.

    Example:
        >>> [type(layer).__name__ for layer in layers_within(keras.Sequential([keras.layers.Dropout(0.5)]))]
        ['Sequential', 'Dropout']
    """
    return list(layer._flatten_layers())


def variable_position(optimizer: keras.optimizers.Optimizer, variable: Any) -> int:
    """Returns the place of a variable among those that an optimiser was built with.

    There is no public way: on TensorFlow `update_step` receives the variable inside the Keras variable.
    Uses `Optimizer._get_variable_index`.

    Example:
        >>> optimizer, variables = keras.optimizers.SGD(), [keras.Variable([1.0]), keras.Variable([2.0])]
        >>> optimizer.build(variables)
        >>> variable_position(optimizer, variables[1])
        1
    """
    position: int = optimizer._get_variable_index(variable)
    return position


def adam_step(optimizer: keras.optimizers.Adam, gradient: Any, variable: Any, learning_rate: Any) -> None:
    """One step of Adam for one variable, in the kernel that TensorFlow has for it.

    Keras makes it of some thirty operations, most of them a pass over the memory. There is no public way to the moving
    averages of the gradient and of its square: `Optimizer.variables` names them by path alone. Uses `Adam._momentums`
    and `Adam._velocities`.

    Args:
        optimizer: A built one, without AMSGrad.
        gradient: The gradient, of the variable's shape.
        variable: The variable, or the TensorFlow variable inside it.
        learning_rate: Rate of this step.
    """
    import tensorflow as tf

    inner: Any = optimizer
    position, kind = variable_position(optimizer, variable), variable.dtype
    held = (variable, inner._momentums[position], inner._velocities[position])
    var, m, v = (each.value if isinstance(each, keras.Variable) else each for each in held)
    step = tf.cast(inner.iterations + 1, kind)
    tf.raw_ops.ResourceApplyAdam(
        var=var.handle,
        m=m.handle,
        v=v.handle,
        beta1_power=tf.pow(tf.cast(inner.beta_1, kind), step),
        beta2_power=tf.pow(tf.cast(inner.beta_2, kind), step),
        lr=tf.cast(learning_rate, kind),
        beta1=inner.beta_1,
        beta2=inner.beta_2,
        epsilon=inner.epsilon,
        grad=tf.cast(gradient, kind),
    )


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[tuple[keras.Variable, keras.Variable]]:
    """Pairs each variable that an optimiser trains with the variable that holds its moving average.

    There is no public way: Keras can only replace the weights by their averages permanently
    (`finalize_variable_values`). Uses `Optimizer._trainable_variables` and
    `Optimizer._model_variables_moving_average`.

    Returns:
        Pairs (variable, average) in the optimiser's order; empty if it keeps no averages or has not been built.

    Example:
        >>> moving_averages(keras.optimizers.SGD())
        []
    """
    inner: Any = optimizer
    if not inner.use_ema or not inner.built:
        return []
    return list(zip(inner._trainable_variables, inner._model_variables_moving_average, strict=True))


def forget_kernels() -> None:
    """Frees the 40 kB that TensorFlow keeps for each variable that it created: 56 MB for the main ensemble.

    TensorFlow caches the operation that created a variable. `keras.backend.clear_session` also frees it, but resets
    names and the default graph. Operations that are still in use are created again when they next run. Does nothing on
    other backends. Uses `Context.clear_kernel_cache` of `tensorflow.python.eager.context`.

    Example:
        >>> forget_kernels()
    """
    if keras.config.backend() == "tensorflow":
        from tensorflow.python.eager import context

        context.context().clear_kernel_cache()


@contextmanager
def freeing_graphs() -> Iterator[None]:
    """Frees, at its end, what was traced since its begin and belongs to no function any more.

    TensorFlow's graph of a training step is a cycle that Python's collector does not see: a model that was trained and
    deleted leaves it behind, with its weights and those of its optimizer, and any later training in the process adds
    its own. There is no public way. Uses `FuncGraph` and `dismantle_func_graph` of
    `tensorflow.python.framework.func_graph`, `FuncGraph._function_captures`, and `ConcreteFunction`. Collects garbage
    on every backend.

    Example:
        >>> with freeing_graphs():
        ...     pass
    """
    if keras.config.backend() != "tensorflow":
        yield
        gc.collect()
        return
    from tensorflow.python.eager.polymorphic_function.concrete_function import ConcreteFunction
    from tensorflow.python.framework.func_graph import FuncGraph, dismantle_func_graph

    before = weakref.WeakSet(_living(FuncGraph))
    yield
    gc.collect()
    owned = {id(function.graph) for function in _living(ConcreteFunction)}
    for graph in _living(FuncGraph):
        if graph not in before and id(graph) not in owned:
            dismantle_func_graph(graph)
            graph._function_captures._cached_by_val_capture_tuples = []  # which hold the variables
    gc.collect()


def _living(kind: type) -> list[Any]:
    return [one for one in gc.get_objects() if issubclass(type(one), kind)]


def local_apply(optimizer: Any) -> Callable[[Sequence[Any], Sequence[Any]], None]:
    """Returns a function that applies gradients to the variables of one replica of TensorFlow's MirroredStrategy.

    Keras' optimizer for TensorFlow speaks to all replicas at several places, some of them inside a condition, which
    TensorFlow refuses; it sums gradients only after they were clipped, accumulated and tested for overflow. The
    function does what an optimizer does without replicas; the caller sums the gradients and calls it in
    `tf.distribute.StrategyExtended.update`, once for each replica.

    There is no public way. Uses `LossScaleOptimizer._common_apply`, and puts the methods of `BaseOptimizer` in the
    place of `_backend_update_step`, `_apply_weight_decay` and `_backend_increment_gradient_accumulators`.

    Args:
        optimizer: A built optimizer on TensorFlow, which is changed; or a `LossScaleOptimizer` of one.
    """
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    plain = next(cls for cls in type(inner).__mro__ if cls.__name__ == "BaseOptimizer")
    for name in ("_backend_update_step", "_apply_weight_decay", "_backend_increment_gradient_accumulators"):
        setattr(inner, name, MethodType(getattr(plain, name), inner))
    apply: Callable[[Sequence[Any], Sequence[Any]], None]
    apply = optimizer.apply if inner is optimizer else optimizer._common_apply
    return apply


#: Initializer classes are shared by the whole process, so only one thread at a time may replace their methods.
_PATCHING = threading.RLock()


@contextmanager
def initializers_replaced(replace: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Replaces the function by which every Keras initializer makes values, for the duration of the block.

    There is no public way: Keras cannot create variables without initial values. Uses `Initializer.__call__` of all
    subclasses of `keras.initializers.Initializer`; they are restored when the block ends, also after an error.

    Args:
        replace: Maps the `__call__` of each class to its replacement.

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
    """Changes the class of a built layer to a subclass; its name, weights and graph stay.

    There is no public way: `keras.models.clone_model` makes new layers, whose weights are new variables. The
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
        raise UsageTypeError(f"{cls.__name__} is not a subclass of {type(layer).__name__}")
    layer.__class__ = cls


def _subclasses(parent: Any) -> set[Any]:
    found: set[Any] = set()
    for child in parent.__subclasses__():
        found |= {child, *_subclasses(child)}
    return found
