import dataclasses
import itertools

import keras
import numpy as np
import pytest

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.models.backbones import leaf_layers
from zoo.models.ensemble import Ensemble
from zoo.training import devices, rates
from zoo.training.optimizers import AdamW, averaged_weights, build_optimizer, skipped_steps
from zoo.training.recipe import Stage, StageOverride

STAGE = Stage("s", epochs=1, batch_size=4, learning_rate=0.1)


def make_model():
    keras.utils.set_random_seed(0)
    layers = [keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization(), keras.layers.Dense(2)]
    return keras.Sequential(layers)


def compiled(stage, model=None):
    model = model or make_model()
    model.compile(build_optimizer(model, stage, 10), "mse", auto_scale_loss=False, jit_compile=devices.jit_compile())
    return model


def values(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.trainable_variables]


def data(n=8):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 3)).astype("float32"), rng.normal(size=(n, 2)).astype("float32")


@pytest.mark.parametrize("all_weights", [False, True])
def test_decay_spares_biases_and_norms_unless_asked(all_weights):
    stage = dataclasses.replace(STAGE, weight_decay=0.5, decay_norms_and_biases=all_weights)
    model = make_model()
    optimizer = build_optimizer(model, stage, 10)
    for variable in model.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer.apply([np.zeros(v.shape, "float32") for v in model.trainable_variables])
    for variable in model.trainable_variables:
        shrunk = 1 - 0.1 * 0.5 if all_weights or len(variable.shape) > 1 else 1.0
        np.testing.assert_allclose(np.asarray(variable), shrunk, rtol=1e-6)


@pytest.mark.parametrize("accumulate", [None, 2])
@pytest.mark.parametrize("jit", [False, True])
def test_its_steps_are_those_of_keras(accumulate, jit):
    options = {
        "learning_rate": keras.optimizers.schedules.CosineDecay(0.1, 8), "weight_decay": 0.01, "clipnorm": 1.0,
        "use_ema": True, "ema_momentum": 0.5, "gradient_accumulation_steps": accumulate,
    }  # fmt: skip
    reached = []
    for optimizer in (AdamW(**options), keras.optimizers.AdamW(**options, ema_overwrite_frequency=None)):
        keras.utils.set_random_seed(0)
        # No batch norm: a bias in front of one has gradients that are rounding alone, which Adam makes large.
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)])
        model.compile(optimizer, "mse", auto_scale_loss=False, jit_compile=jit)
        x, y = data(24)
        for i in range(0, 24, 4):
            model.train_on_batch(x[i : i + 4], y[i : i + 4])
        reached.append([*values(model), *(np.asarray(v) for v in optimizer.variables)])
    for ours, theirs in zip(*reached, strict=True):
        # 1 - 0.999 has five digits in float32, which TensorFlow's kernel computes in.
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=5e-6)


def test_clipping_is_by_variable():
    assert build_optimizer(make_model(), STAGE, 10).clipnorm == 1.0
    assert build_optimizer(make_model(), dataclasses.replace(STAGE, clipnorm=None), 10).clipnorm is None


def test_warmup_and_cosine_follow_their_formula():
    stage = dataclasses.replace(STAGE, schedule="warmup_cosine", warmup_steps=4, min_learning_rate=0.01, accumulate=2)
    schedule = build_optimizer(make_model(), stage, 28)._learning_rate
    rates = [float(schedule(step)) for step in range(15)]
    np.testing.assert_allclose(rates[:5], [0, 0.025, 0.05, 0.075, 0.1], rtol=1e-6)
    cosine = [0.01 + 0.09 * (1 + np.cos(np.pi * i / 10)) / 2 for i in range(11)]
    np.testing.assert_allclose(rates[4:], cosine, rtol=1e-5)


def test_average_of_weights_is_shown_in_the_block_alone():
    """Keras puts the average in place of the weights at the end of each `fit`; here training goes on after it."""
    x, y = data()
    model = compiled(dataclasses.replace(STAGE, ema_momentum=0.5))
    plain = compiled(STAGE)
    for _ in range(2):
        model.fit(x, y, batch_size=4, shuffle=False, verbose=0)
        plain.fit(x, y, batch_size=4, shuffle=False, verbose=0)
    for ours, theirs in zip(values(model), values(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    before = values(model)
    with averaged_weights(model):
        shown = values(model)
        model.predict(x, verbose=0)
    assert all(np.abs(a - b).max() > 1e-4 for a, b in zip(before, shown, strict=True) if a.ndim > 1)
    for a, b in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(x, y, batch_size=4, shuffle=False, verbose=0)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_average_moves_after_each_batch_also_after_those_that_accumulate(accumulate):
    model = make_model()
    optimizer = build_optimizer(model, dataclasses.replace(STAGE, ema_momentum=0.8, accumulate=accumulate), 20)
    rng = np.random.default_rng(2)
    seen = []
    for _ in range(3 * accumulate):
        optimizer.apply([rng.normal(size=v.shape).astype("float32") for v in values(model)])
        seen.append(values(model))
    steps = seen[accumulate - 1 :: accumulate]  # the weights change with these batches alone
    assert all((a[0] != b[0]).any() for a, b in itertools.pairwise(steps))
    assert all((later[0] == steps[0][0]).all() for later in seen[accumulate - 1 : 2 * accumulate - 1])
    # Until the first optimizer step is counted, the average is the weights themselves.
    average = seen[accumulate - 1]
    for weights in seen[accumulate:]:
        average = [0.8 * a + 0.2 * w for a, w in zip(average, weights, strict=True)]
    model.compile(optimizer)
    with averaged_weights(model):
        for shown, expected in zip(values(model), average, strict=True):
            np.testing.assert_allclose(shown, expected, rtol=1e-5, atol=1e-6)


def test_without_an_average_the_block_changes_nothing():
    model = compiled(STAGE)
    before = values(model)
    with averaged_weights(model):
        for a, b in zip(before, values(model), strict=True):
            np.testing.assert_array_equal(a, b)


def test_accumulated_gradients_equal_a_larger_batch():
    x, y = data()
    keep_norm = [keras.Input((3,)), keras.layers.Dense(2)]
    keras.utils.set_random_seed(0)
    small = keras.Sequential(keep_norm)
    large = keras.models.clone_model(small)
    large.set_weights(small.get_weights())
    compiled(dataclasses.replace(STAGE, accumulate=2), small).fit(x, y, batch_size=4, shuffle=False, verbose=0)
    compiled(STAGE, large).fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for a, b in zip(values(small), values(large), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_overflow_under_float16_skips_the_step_and_is_counted():
    x, y = data()
    with devices.precision("mixed_float16"):
        model = compiled(STAGE)
        assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        assert isinstance(model.optimizer.inner_optimizer, AdamW)
        before = values(model)
        model.fit(np.full_like(x, np.inf), y, batch_size=4, verbose=0)
        for a, b in zip(before, values(model), strict=True):
            np.testing.assert_array_equal(a, b)
        assert skipped_steps(model.optimizer, 2) == 2
        assert float(np.asarray(model.optimizer.dynamic_scale)) == 2.0**13
    assert skipped_steps(compiled(STAGE).optimizer, 2) == 0


def pair():
    members = (MemberSpec("tiny", alias="first"), MemberSpec("tiny", alias="second"))
    return Ensemble.from_spec(EnsembleSpec("pair", members, image_size=16, findings=("a", "b")))


def test_rates_fall_with_the_distance_from_the_head_and_differ_between_members():
    stage = dataclasses.replace(STAGE, layer_decay=0.5, overrides={"second": StageOverride(learning_rate=0.3)})
    model = pair()
    found = dict(zip([id(v) for v in model.trainable_variables], rates.factors(model, stage), strict=True))
    for member, own in zip(model.members, (1.0, 3.0), strict=True):
        expected = {"stem": 0.125, "down1": 0.25, "block": 0.25, "down2": 0.5}
        for layer in leaf_layers(member.backbone.network):
            for v in layer.trainable_variables:
                assert found[id(v)] == pytest.approx(own * expected[layer.name.split("_")[0]])
        for v in member.head.trainable_variables:
            assert found[id(v)] == pytest.approx(own)
    assert rates.factors(model, STAGE) is None
    assert rates.factors(model, dataclasses.replace(STAGE, layer_decay=1.0)) is None
    with_backbone = dataclasses.replace(STAGE, overrides={"tiny": StageOverride(learning_rate=0.2)})
    assert set(rates.factors(model, with_backbone)) == {2.0}


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_a_step_at_rates_of_its_own_is_that_of_adamw(policy, accumulate, monkeypatch):
    """Algorithm 2 of Loshchilov & Hutter 2019 by hand, where the decay of a variable scales with its rate."""
    if policy == "mixed_float16" and keras.config.backend() == "jax":
        pytest.skip("on JAX, loss scaling works only inside a compiled step")
    stage = dataclasses.replace(
        STAGE, weight_decay=0.1, ema_momentum=0.75, clipnorm=None, schedule="constant", accumulate=accumulate
    )
    scales, eps = (0.25, 1.0, 1.0, 1.0, 2.0, 2.0), 1e-7
    monkeypatch.setattr(rates, "factors", lambda *_: scales)
    with devices.precision(policy):
        model = make_model()
        optimizer = build_optimizer(model, stage, 10)
    rng = np.random.default_rng(1)
    start, moments = values(model), [(0.0, 0.0)] * 6
    hand = [np.array(v, np.float64) for v in start]
    for step in (1, 2, 3):
        gradients = [[rng.normal(size=v.shape) for v in hand] for _ in range(accumulate)]
        for batch in gradients:
            loss_scale = 2.0**15 if policy == "mixed_float16" else 1.0
            optimizer.apply([(g * loss_scale).astype("float32") for g in batch])
        for i, v in enumerate(hand):
            g = np.mean([batch[i] for batch in gradients], axis=0)
            m, s = 0.9 * moments[i][0] + 0.1 * g, 0.999 * moments[i][1] + 0.001 * g * g
            moments[i] = (m, s)
            rate = 0.1 * scales[i]
            decayed = v * (1 - rate * 0.1) if v.ndim > 1 else v
            corrected = np.sqrt(1 - 0.999**step) / (1 - 0.9**step)  # Keras adds epsilon to the uncorrected root
            hand[i] = decayed - rate * corrected * m / (np.sqrt(s) + eps)
    for ours, expected in zip(values(model), hand, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=2e-5, atol=1e-5)  # of three steps of some 0.1
