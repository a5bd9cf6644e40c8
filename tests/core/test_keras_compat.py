"""Private parts of Keras, TensorFlow and JAX are used in one module, and they are what that module says they are."""

import ast
import gc
import inspect
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo
from zoo.core import keras_compat

ROOT = Path(zoo.__file__).parents[1]
HOME = "zoo/core/keras_compat.py"
FILES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("zoo", "recipes", "tests")
    for path in (ROOT / folder).rglob("*.py")
    if "recipes" not in path.relative_to(ROOT / folder).parts or folder == "recipes"
)

LIBRARIES = ("keras", "tensorflow", "tf", "jax", "keras_cv", "keras_core")
#: Packages of these libraries that are not documented.
PRIVATE = ("src", "python", "_src", "_tf_keras")
#: What the standard library documents in spite of its underscore.
DOCUMENTED = {"_replace", "_asdict", "_fields", "_make"}
#: Functions of Keras that tests put something in the place of, so that nothing is downloaded or drawn.
REPLACED_IN_TESTS = {"keras.src.utils.file_utils.get_file", "keras.src.backend.random."}


def private_module(name: str) -> bool:
    first, *rest = name.split(".")
    return first in LIBRARIES and any(part in PRIVATE or private(part) for part in rest)


def private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


def own_names(source: str) -> set[str]:
    """Private names that a file defines or imports from our own modules: attributes of objects of ours."""
    tree = ast.parse(source)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


def private_uses(source: str, ours: set[str]) -> Iterator[str]:
    """Undocumented modules, by import, attribute or text, and private attributes that no file of ours defines."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value not in REPLACED_IN_TESTS:
            names = [] if " " in node.value else [node.value]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
            if node.attr in ("__class__", "__call__") and isinstance(node.ctx, ast.Store):
                yield f"line {node.lineno}: {names[0]} is replaced"
                continue
            if private(node.attr) and node.attr not in ours and names[0].split(".")[0] not in sys.stdlib_module_names:
                yield f"line {node.lineno}: {names[0]}"
                continue
        line = getattr(node, "lineno", 0)
        yield from (f"line {line}: {name}" for name in names if private_module(name))


@pytest.fixture(scope="module")
def ours() -> set[str]:
    return set().union(*(own_names((ROOT / file).read_text("utf-8")) for file in FILES if file != HOME))


@pytest.mark.once
def test_no_other_file_uses_private_parts(ours):
    found = {file: list(private_uses((ROOT / file).read_text("utf-8"), ours)) for file in FILES}
    this = Path(__file__).relative_to(ROOT).as_posix()
    assert len(found.pop(HOME)) >= 4
    assert {file: uses for file, uses in found.items() if uses and file != this} == {}


@pytest.mark.once
@pytest.mark.parametrize(
    "source",
    [
        "import keras.src.backend",
        "from keras.src import backend",
        "from keras import src",
        "def f():\n    from tensorflow.python.eager import context",
        "import jax._src.core",
        "keras.src.backend.random",
        "tf.python.eager",
        "layer._tracker.unlock()",
        "layer.__class__ = Other",
        "for cls in classes:\n    cls.__call__ = other",
        "patch('keras.src.backend.config.floatx')",
    ],
)
def test_the_check_itself_finds_private_parts(source, ours):
    assert len(list(private_uses(source, ours))) >= 1


@pytest.mark.parametrize(
    "source", ["self._mine", "row._replace(a=1)", "keras.ops.abs(x)", "import jax.numpy", "x.__class__"]
)
def test_the_check_itself_lets_public_parts_pass(source):
    assert list(private_uses(source, {"_mine"})) == []


def test_no_later_version_than_the_one_checked_is_installed_or_allowed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    requirements = {"keras": project["dependencies"], "tensorflow": extras["tensorflow"] + extras["cpu"]}
    for library, checked in keras_compat.CHECKED.items():
        major, minor = map(int, checked.split(".")[:2])
        bounds = [r for r in requirements[library] if r.split(">")[0].split("[")[0] in (library, f"{library}-cpu")]
        assert bounds
        assert all(bound.split(";")[0].endswith(f",<{major}.{minor + 1}") for bound in bounds), bounds
    installed, newest = (list(map(int, v.split(".")[:2])) for v in (version("keras"), keras_compat.CHECKED["keras"]))
    assert installed <= newest


def test_every_use_states_what_it_uses_and_why():
    functions = [
        f for _, f in inspect.getmembers(keras_compat, inspect.isfunction) if f.__module__ == keras_compat.__name__
    ]
    functions = [function for function in functions if not function.__name__.startswith("_")]
    assert len(functions) == 11
    for function in functions:
        assert "Uses `" in function.__doc__


def test_a_graph_runs_with_other_values_and_operations():
    a, b = keras.KerasTensor((None, 2)), keras.KerasTensor((None, 2))
    graph = keras.Function([a, b], {"difference": keras.ops.subtract(a, keras.ops.abs(b)), "same": b})

    def replaced(operation):
        return lambda *args: f"{type(operation).__name__}({', '.join(args)})"

    assert keras_compat.run_graph(graph, ["a", "b"], replaced) == {
        "difference": "Subtract(a, Absolute(b))",
        "same": "b",
    }


def test_batches_are_counted_before_they_are_accumulated():
    variable = keras.Variable(np.zeros(2, "float32"))
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    optimizer.build([variable])
    for _ in range(4):
        optimizer.apply([keras.ops.ones(2)])
    assert keras_compat.batches_seen(optimizer) == 4
    assert int(keras.ops.convert_to_numpy(optimizer.iterations)) == 1


def test_moving_averages_are_paired_with_their_variables():
    first, second = keras.Variable(np.zeros(2, "float32")), keras.Variable(np.full(3, 8, "float32"))
    optimizer = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5)
    assert keras_compat.moving_averages(optimizer) == []
    optimizer.build([first, second])
    for _ in range(2):
        optimizer.apply([keras.ops.ones(2), keras.ops.ones(3)])
    pairs = keras_compat.moving_averages(optimizer)
    assert [id(variable) for variable, _ in pairs] == [id(first), id(second)]
    # -1, then half of it and half of -2; the average begins at the first value.
    np.testing.assert_allclose(keras.ops.convert_to_numpy(pairs[0][1]), np.full(2, -1.5))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(pairs[1][1]), np.full(3, 6.5))


def test_initializers_are_put_back_after_an_error_too():
    before = keras.initializers.Ones.__call__

    def fail():
        with keras_compat.initializers_replaced(lambda original: lambda self, shape, dtype=None: "nothing"):
            assert keras.initializers.Ones()((2,)) == keras.initializers.GlorotNormal()((2, 2)) == "nothing"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert keras.initializers.Ones.__call__ is before
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(keras.initializers.Ones()((2,))), [1, 1])


def test_a_layer_takes_a_subclass_alone():
    layer = keras.layers.Dense(2)
    with pytest.raises(TypeError, match="Identity is not a subclass of Dense"):
        keras_compat.change_class(layer, keras.layers.Identity)
    assert type(layer) is keras.layers.Dense


@pytest.mark.tensorflow_only
def test_kernels_are_forgotten_and_what_is_in_use_still_runs():
    variable = keras.Variable(np.ones(2, "float32"))
    keras_compat.forget_kernels()
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable + 1), [2, 2])


@pytest.mark.tensorflow_only
def test_a_model_that_was_trained_and_deleted_leaves_no_weights_in_memory():
    import tensorflow as tf

    def handles() -> int:
        kind = type(tf.constant(0))
        return sum(issubclass(type(one), kind) and one.dtype == tf.resource for one in gc.get_objects())

    def fit() -> keras.Model:
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        model.compile("adam", "mse")
        model.fit(np.zeros((8, 4)), np.zeros((8, 2)), batch_size=4, verbose=0)
        return model

    with keras_compat.freeing_graphs():
        kept = fit()
    before = handles()
    with keras_compat.freeing_graphs():
        fit()
    assert handles() == before
    kept.fit(np.zeros((8, 4)), np.zeros((8, 2)), verbose=0)  # what is still in use was left alone
