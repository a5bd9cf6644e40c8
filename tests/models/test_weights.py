import gc
import os
import threading
from pathlib import Path
from typing import Any

import keras
import ml_dtypes
import numpy as np
import pytest
from benchmarks.bench_memory import anonymous, measure
from safetensors.numpy import load_file, save_file

from zoo.config.specs import MemberSpec
from zoo.core.errors import WeightsError
from zoo.models.backbones import Backbone
from zoo.models.classifier import Classifier
from zoo.models.weights.files import (
    build_uninitialized,
    load_safetensors,
    named_weights,
    save_safetensors,
    uninitialized,
)


def classifier(head: str = "gap", findings: int = 3) -> Classifier:
    return Classifier.from_spec(MemberSpec("tiny", head=head), 32, findings)


def blank() -> Classifier:
    with uninitialized():
        return classifier()


def values(model: Any) -> dict[str, np.ndarray]:
    return {name: keras.ops.convert_to_numpy(v) for name, v in named_weights(model).items()}


def test_names_say_where_a_weight_is() -> None:
    names = list(named_weights(classifier("gem")))
    assert names[:2] == ["backbone/stem_conv/kernel", "backbone/stem_bn/gamma"]
    assert {n for n in names if n.startswith("head/")} == {"head/p", "head/kernel", "head/bias"}


def _anonymous() -> keras.Model:
    x = inputs = keras.Input((8, 8, 3))
    for _ in range(2):
        x = keras.layers.Conv2D(4, 3)(x)
        x = keras.layers.BatchNormalization()(x)
    x = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])(x)
    return keras.Model(inputs, keras.layers.Dense(1, name="last")(x))


def test_names_do_not_depend_on_what_was_built_before() -> None:
    first, second = _anonymous(), _anonymous()
    assert [layer.name for layer in first.layers] != [layer.name for layer in second.layers]
    assert list(named_weights(first)) == list(named_weights(second))
    assert {name.rpartition("/")[0] for name in named_weights(second)} == {
        "conv2d",
        "conv2d_1",
        "batch_normalization",
        "batch_normalization_1",
        "sequential/dense",
        "last",
    }


def test_a_weight_that_cannot_be_named_is_an_error() -> None:
    inputs = keras.Input((2,))
    x = keras.layers.Dense(2, name="dense_7")(inputs)
    # A name of one's own that is just what the automatic one of another class becomes.
    model = keras.Model(inputs, keras.layers.EinsumDense("ab,bc->ac", (2,), bias_axes="c", name="dense")(x))
    with pytest.raises(WeightsError, match=r"2 names for 4 weights, 2 of them twice \(dense/kernel, dense/bias\)"):
        named_weights(model)


def test_round_trip(fill: Any, pixels: Any, tmp_path: Path) -> None:
    model, again = fill(classifier("attention")), classifier("attention")
    save_safetensors(model, tmp_path / "deep" / "w.safetensors")
    load_safetensors(again, tmp_path / "deep" / "w.safetensors")
    np.testing.assert_array_equal(again.predict(pixels(), verbose=0), model.predict(pixels(), verbose=0))
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_file_in_another_dtype(dtype: Any, fill: Any, tmp_path: Path) -> None:
    model, again = fill(classifier()), classifier()
    path = save_safetensors(model, tmp_path / "w.safetensors", dtype=dtype)
    assert {array.dtype.name for array in load_file(path).values()} == {dtype}
    load_safetensors(again, path)
    for name, value in values(again).items():
        assert value.dtype == np.float32
        np.testing.assert_array_equal(value, values(model)[name].astype(dtype).astype("float32"))


def test_a_model_of_half_precision_takes_any_file(fill: Any, policy: Any, tmp_path: Path) -> None:
    path = save_safetensors(fill(classifier()), tmp_path / "w.safetensors")
    full = values(fill(classifier()))
    policy("bfloat16")
    model = blank()
    load_safetensors(model, path)
    kernel = values(model)["backbone/stem_conv/kernel"]
    assert kernel.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(kernel, full["backbone/stem_conv/kernel"].astype(ml_dtypes.bfloat16))
    assert load_file(save_safetensors(model, path))["backbone/stem_conv/kernel"].dtype == ml_dtypes.bfloat16


def test_values_that_overflow_in_the_model_are_refused(fill: Any, policy: Any, tmp_path: Path) -> None:
    model, path = fill(blank()), tmp_path / "w.safetensors"
    named_weights(model)["backbone/stem_conv/kernel"].assign(np.full((3, 3, 3, 16), 1e6))
    save_safetensors(model, path)
    policy("float16")
    with pytest.raises(WeightsError, match="432 of 432 values of backbone/stem_conv/kernel are NaN or infinite"):
        load_safetensors(blank(), path)


def test_one_part_of_a_file(fill: Any, tmp_path: Path) -> None:
    model, backbone = fill(classifier()), Backbone("tiny", 32)
    load_safetensors(backbone, save_safetensors(model, tmp_path / "w.safetensors"), prefix="backbone/")
    np.testing.assert_array_equal(values(backbone)["stem_conv/kernel"], values(model)["backbone/stem_conv/kernel"])


def _changed(arrays: dict[str, np.ndarray], change: str) -> dict[str, np.ndarray]:
    kernel = arrays["head/kernel"].copy()
    kernel[0, 0] = {"nan": np.nan, "inf": np.inf}.get(change, kernel[0, 0])
    arrays = {**arrays, "head/kernel": kernel[:, :2] if change == "shape" else kernel}
    if change == "missing":
        del arrays["head/bias"]
    if change == "extra":
        arrays["head/more"] = np.zeros(1, "float32")
    return arrays


@pytest.mark.parametrize(
    "change, message",
    [
        ("missing", r"of the model's 22 weights 1 are not in the file \(head/bias\); of the file's 21 0 are"),
        ("extra", r"0 are not in the file; of the file's 23 1 are not in the model \(head/more\)"),
        ("shape", r"1 have another shape \(head/kernel \(64, 2\) in the file, \(64, 3\) in the model\)"),
        ("nan", "was not loaded: 1 of 192 values of head/kernel are NaN or infinite"),
        ("inf", "was not loaded: 1 of 192 values of head/kernel are NaN or infinite"),
    ],
)
def test_a_refused_file_leaves_the_model_as_it_was(change: str, message: str, fill: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(_changed(values(fill(classifier())), change), path)
    model = classifier()
    before = values(model)
    with pytest.raises(WeightsError, match=message) as error:
        load_safetensors(model, path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    for name, value in values(model).items():
        np.testing.assert_array_equal(value, before[name])


def test_weights_of_another_model_are_refused(fill: Any, tmp_path: Path) -> None:
    path = save_safetensors(fill(classifier("gem")), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"is of another model: .*1 are not in the model \(head/p\)"):
        load_safetensors(classifier("gap"), path)


def test_of_a_file_with_other_names_both_lists_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({f"conv{i}.weight": np.zeros(3, "float32") for i in range(6)}, path)
    message = (
        r"of the model's 22 weights 22 are not in the file \(backbone/stem_conv/kernel, .*, \.\.\.\); "
        r"of the file's 6 6 are not in the model \(conv0\.weight, conv1\.weight, .*, \.\.\.\)"
    )
    with pytest.raises(WeightsError, match=message):
        load_safetensors(classifier(), path)


def test_whole_numbers_are_no_weights(fill: Any, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(values(fill(classifier())) | {"head/bias": np.zeros(3, "int32")}, path)
    with pytest.raises(WeightsError, match=r"1 are other kinds of numbers \(head/bias int32 in the file, float32 in"):
        load_safetensors(classifier(), path)


def test_a_hostile_header_is_refused_before_anything_else(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(WeightsError, match=r"w\.safetensors is not a readable safetensors file \(it is an HTML page"):
        load_safetensors(classifier(), path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no weights file at .*none\.safetensors"):
        load_safetensors(classifier(), tmp_path / "none.safetensors")


@pytest.mark.parametrize(
    "value, dtype, message",
    [
        (np.nan, None, "1 of 3 values of head/bias are NaN or infinite"),
        (np.inf, "float16", "1 of 3 values of head/bias are NaN or infinite"),
        (
            1e6,
            "float16",
            r"1 of 3 values of head/bias are beyond the largest float16 \(65504, got 1e\+06\): use dtype 'bfloat16'",
        ),
        (
            -3.4e38,
            "float16",
            r"1 of 3 values of head/bias are beyond the largest float16 \(65504, got 3.4e\+38\): use dtype 'float32'",
        ),
        (
            3.4e38,
            "bfloat16",
            r"1 of 3 values of head/bias are beyond the largest bfloat16 \(3.3.*\): use dtype 'float32'",
        ),
    ],
)
def test_weights_that_could_not_be_read_again_are_not_written(
    value: float, dtype: Any, message: str, tmp_path: Path
) -> None:
    model, path = classifier(), tmp_path / "w.safetensors"
    path.write_text("old")
    named_weights(model)["head/bias"].assign([value, 0, 0])
    with pytest.raises(WeightsError, match=f"was not written: {message}"):
        save_safetensors(model, path, dtype=dtype)
    assert path.read_text() == "old"


def test_a_name_that_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="naïve")])
    with pytest.raises(WeightsError, match=r"was not written: tensor name 'naïve/kernel' is not a plain one"):
        save_safetensors(model, tmp_path / "w.safetensors")
    assert list(tmp_path.glob("*.safetensors")) == []


def test_uninitialized_draws_no_weights_and_sets_the_random_state(
    fill: Any, pixels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_safetensors(fill(classifier()), tmp_path / "w.safetensors")
    for draw in ("uniform", "normal", "truncated_normal"):
        monkeypatch.setattr(f"keras.src.backend.random.{draw}", lambda *a, **k: pytest.fail("drew random weights"))
    with uninitialized():
        model = classifier()
    assert all(np.isnan(value).all() for value in values(model).values())
    load_safetensors(model, path)
    states = [v for v in model.non_trainable_variables if "seed" in v.path]
    assert len(states) == 3  # stochastic depth, dropout, dropout of the head
    for variable in model.variables:
        assert np.isfinite(keras.ops.convert_to_numpy(variable)).all(), variable.path
    monkeypatch.undo()
    np.testing.assert_array_equal(model.predict(pixels(), verbose=0), fill(classifier()).predict(pixels(), verbose=0))
    assert np.isfinite(keras.ops.convert_to_numpy(model(pixels(), training=True))).all()


def test_a_deferred_build_ends_as_any_other(fill: Any, pixels: Any, tmp_path: Path) -> None:
    path = save_safetensors(fill(classifier()), tmp_path / "w.safetensors")
    model = build_uninitialized(classifier)
    assert all(np.isnan(value).all() for value in values(model).values())
    assert [(v.path, v.shape, v.dtype) for v in named_weights(model).values()] == [
        (v.path, v.shape, v.dtype) for v in named_weights(blank()).values()
    ]
    load_safetensors(model, path)
    np.testing.assert_array_equal(model.predict(pixels(), verbose=0), fill(classifier()).predict(pixels(), verbose=0))
    assert np.isfinite(keras.ops.convert_to_numpy(model(pixels(), training=True))).all()


class Scaled(keras.layers.Layer):
    """A layer as people write them: its variable has a value from the start."""

    def build(self, input_shape: Any) -> None:
        self.scale = keras.Variable(np.full(3, 2.0, "float32"), name="scale")

    def call(self, x: Any) -> Any:
        return x * self.scale


def test_a_layer_with_a_value_of_its_own_is_built_as_well() -> None:
    model = build_uninitialized(lambda: keras.Sequential([keras.Input((3,)), Scaled(), keras.layers.Dense(2)]))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(model.layers[0].scale), 2.0)
    assert np.isnan(keras.ops.convert_to_numpy(model.layers[1].kernel)).all()
    with pytest.raises(ValueError, match="no such model"):
        build_uninitialized(_no_model)
    assert all(np.isfinite(value).all() for value in values(classifier()).values())


def _no_model() -> Any:
    raise ValueError("no such model")


def test_uninitialized_ends_with_its_block_also_after_an_error() -> None:
    class Stop(Exception): ...

    with pytest.raises(Stop), uninitialized(), uninitialized():
        raise Stop
    assert all(np.isfinite(value).all() for value in values(classifier()).values())


def test_uninitialized_concerns_its_own_thread_alone() -> None:
    built = []
    with uninitialized():
        thread = threading.Thread(target=lambda: built.append(classifier()))
        thread.start()
        thread.join()
    assert all(np.isfinite(value).all() for value in values(built[0]).values())


def test_weights_without_values_do_not_share_what_is_done_to_one() -> None:
    model = blank()
    first, second = (named_weights(model)[f"backbone/{name}_conv/kernel"] for name in ("stem", "down1"))
    first.assign(np.zeros(first.shape))
    first.assign_add(np.ones(first.shape))
    second.assign_add(np.ones(second.shape))
    assert (keras.ops.convert_to_numpy(first) == 1).all()
    rest = [value for name, value in values(model).items() if not name.endswith("stem_conv/kernel")]
    assert all(np.isnan(value).all() for value in rest)


def test_loaded_weights_train(fill: Any, pixels: Any, tmp_path: Path) -> None:
    """They lie in memory that was not the backend's, which it must neither write to by mistake nor free."""
    path = save_safetensors(fill(blank()), tmp_path / "w.safetensors")
    model, other = blank(), blank()
    load_safetensors(model, path)
    load_safetensors(other, path)
    before = values(other)
    model.compile("sgd", keras.losses.BinaryCrossentropy(from_logits=True))
    model.fit(pixels(), np.ones((4, 3)), epochs=2, verbose=0)
    gc.collect()
    changed = [name for name, value in values(model).items() if (value != before[name]).any()]
    assert len(changed) > 15
    assert all(np.isfinite(value).all() for value in values(model).values())
    for name, value in values(other).items():
        np.testing.assert_array_equal(value, before[name])


needs_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux' /proc")


@needs_linux
def test_weights_are_in_memory_once(tmp_path: Path) -> None:
    def build() -> keras.Model:
        with uninitialized():
            return keras.Sequential([keras.Input((1024,)), *(keras.layers.Dense(1024) for _ in range(20))])

    path, size = tmp_path / "w.safetensors", 20 * 4 * 1024 * 1025
    save_file({name: np.zeros(v.shape, "float32") for name, v in named_weights(build()).items()}, path)
    gc.collect()
    before = anonymous(os.getpid())
    model = build()
    assert anonymous(os.getpid()) - before < 0.3 * size
    load_safetensors(model, path)
    assert anonymous(os.getpid()) - before < 1.3 * size


@needs_linux
@pytest.mark.real
def test_peak_of_memory_of_a_real_backbone(tmp_path: Path) -> None:
    with uninitialized():
        model = Classifier.from_spec(MemberSpec("resnet50"), 224, 14)
    save_file(
        {name: np.zeros(v.shape, "float32") for name, v in named_weights(model).items()},
        tmp_path / "resnet50.safetensors",
    )
    found = measure(str(tmp_path), ("resnet50",), keras.backend.backend())
    assert found["weights"] > 90e6
    assert found["peak"] <= 1.3


def test_variables_that_keras_numbers_have_the_same_name_in_every_process(tmp_path):
    class Scale(keras.layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight(shape=(2,), initializer="ones")
            self.offset = self.add_weight(shape=(2,), initializer="zeros")

        def call(self, x):
            return x * self.factor + self.offset

    def network():
        return keras.Sequential([keras.Input((2,)), Scale(name="scale")])

    first, second = network(), network()
    assert list(named_weights(first)) == list(named_weights(second)) == ["scale/variable", "scale/variable_1"]
    old = {"scale/variable_4": np.array([3, 4], np.float32), "scale/variable_1": np.array([5, 6], np.float32)}
    save_file(old, tmp_path / "old")
    load_safetensors(second, tmp_path / "old")
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(second.layers[0].factor), [3, 4])
