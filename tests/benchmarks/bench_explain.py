"""Heatmaps held against the known masks of phantoms, and against networks whose weights were shuffled; their speed.

The network is a tiny one, trained on phantoms in a minute or two, or that of the release folder which ZOO_BENCH_MODEL
names. Where a finding lies is known to the pixel on a phantom; what a heatmap is worth on patients is another question.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

import zoo
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data.images.reading import read_image
from zoo.data.phantoms.drawing import draw_phantom
from zoo.data.phantoms.patients import draw_exams
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.statistics.intervals import bootstrap
from zoo.explain.cam import METHODS, gap_kernel
from zoo.explain.explanation import Explanation, enlarge, explain_batch
from zoo.explain.pointing import energy_inside, pointing_game
from zoo.labels.findings import FINDINGS
from zoo.models.backbones import leaf_layers
from zoo.models.classifier import Classifier
from zoo.models.ensemble import Ensemble
from zoo.training.losses import WeightedBCE

BACKENDS = ("tensorflow", "jax")
FOUND, BY_FINDING = "Heatmaps against the masks of phantoms", "Grad-CAM by finding"
SHUFFLED, SPEED = "Heatmaps of shuffled weights", "Heatmaps of 8 images, DenseNet121, 224 px"
SIZE, BATCH, STAGES, FILMS, RANDOMISED = 64, 64, 4, 150, 48
SEED_OF_TRAINING, SEED_OF_FILMS = 7, 11


@pytest.fixture(scope="module")
def model() -> Ensemble:
    release = os.environ.get("ZOO_BENCH_MODEL")
    found = zoo.load(release).model if release else tiny_model()
    assert found.output_shape[-1] == len(FINDINGS), "phantoms have the 14 findings of CheXpert, the model has others"
    return found


@pytest.fixture(scope="module")
def made() -> Phantoms:
    """Images that no model was trained on."""
    return phantoms(FILMS, SEED_OF_FILMS)


def about(model: Ensemble) -> str:
    grids = sorted({f"{m.backbone.output_shape[1]} x {m.backbone.output_shape[2]}" for m in model.members})
    size, members = model.input_shape[1], ", ".join(m.name for m in model.members)
    return f"{members}, {size} px, maps of {', '.join(grids)}."


@pytest.mark.tensorflow_only
def test_scores(record: Callable[..., None], describe: Callable[..., None], model: Ensemble, made: Phantoms) -> None:
    """A map for chance and one for the middle of the image stand beside the methods."""
    inputs, shape = pixels(made.films, model.input_shape[1]), made.films[0].shape
    describe(
        FOUND,
        f"{about(model)} {len(made.films)} phantoms that it was not trained on, {len(made.masks)} findings with a "
        "mask. In brackets: 95% intervals from 2,000 resamples of images. A map without a positive value is a miss.",
    )
    centre = np.zeros((1, *shape))
    centre[0, shape[0] // 2, shape[1] // 2] = 1
    plain = {"all over the image (chance)": np.ones((1, *shape)), "the image's middle pixel": centre}
    for name in (*plain, *methods(model)):
        if name in plain:
            heat = np.broadcast_to(plain[name], made.masks.shape)
        else:
            found = explain_batch(model, inputs[made.film], made.finding, name, batch_size=BATCH)
            heat = np.stack([enlarge(e.raw, shape) for e in found])
        got = scores(heat, made.masks)
        if name.startswith("all over"):
            got["pointing game"] = made.masks.mean(axis=(1, 2))  # of a pixel drawn at random
        empty = np.mean(heat.max(axis=(1, 2)) <= 0)
        record(FOUND, {"map": name} | interval(got, made.film) | {"empty maps": f"{empty:.0%}"})
        if name == "gradcam":
            by_finding(record, describe, model, made, got)


def by_finding(
    record: Callable[..., None],
    describe: Callable[..., None],
    model: Ensemble,
    made: Phantoms,
    got: dict[str, np.ndarray],
) -> None:
    logits = np.asarray(model.predict(pixels(made.films, model.input_shape[1]), batch_size=BATCH, verbose=0))
    auc, area = roc_auc(made.labels, logits), made.masks.mean(axis=(1, 2))
    describe(BY_FINDING, "AUC on the same images; area: the mask's share of the image.")
    for j in np.unique(made.finding):
        rows = made.finding == j
        text = interval({k: got[k][rows] for k in ("pointing game", "energy inside")}, made.film[rows])
        known = {"finding": FINDINGS[j], "n": int(rows.sum()), "AUC": auc[j]}
        record(BY_FINDING, known | text | {"area": area[rows].mean()})


@pytest.mark.tensorflow_only
def test_randomisation(
    record: Callable[..., None], describe: Callable[..., None], model: Ensemble, made: Phantoms
) -> None:
    rows = np.unique(made.film, return_index=True)[1][:RANDOMISED]
    inputs, wanted = pixels([made.films[i] for i in made.film[rows]], model.input_shape[1]), made.finding[rows]
    names = methods(model)

    def maps() -> dict[str, list[Explanation]]:
        return {m: explain_batch(model, inputs, wanted, m, batch_size=BATCH) for m in names}

    before = maps()
    describe(
        SHUFFLED,
        f"Cascading randomisation (Adebayo et al. 2018), {len(rows)} images: rank correlation of the signed maps / "
        "SSIM of the heatmaps with those of the trained weights. A map that depends on what was learned falls to 0.",
    )
    for stage in randomise(model):
        after, cells = maps(), {}
        for m in names:
            pairs = list(zip(before[m], after[m], strict=True))
            ranks = [spearmanr(a.raw.ravel(), b.raw.ravel()).statistic for a, b in pairs]
            cells[m] = f"{np.nanmean(ranks):.2f} / {np.mean([ssim(a.heatmap, b.heatmap) for a, b in pairs]):.2f}"
        record(SHUFFLED, {"shuffled": stage} | cells)
    assert all(np.array_equal(a.raw, b.raw) for m, own in maps().items() for a, b in zip(own, before[m], strict=True))


@pytest.fixture(scope="module")
def real() -> tuple[Classifier, np.ndarray, np.ndarray]:
    """A network of the size people use, random weights: only its speed is looked at."""
    keras.utils.set_random_seed(0)
    network = Classifier.from_spec(MemberSpec("densenet121", weights=None), 224, len(FINDINGS))
    films = np.random.default_rng(0).integers(0, 256, (8, 224, 224, 1), dtype=np.uint8)
    return network, films, np.arange(8)


@pytest.mark.parametrize("method", METHODS)
def test_speed(compare: Callable[..., Any], real: Any, method: str) -> None:
    network, films, wanted = real

    def as_the_example_does(found: list[Explanation]) -> str:
        gap = max(np.abs(grid(e) - one).max() for e, one in zip(found, tape_gradcam(*real), strict=True))
        assert gap < 1e-3
        return f"differs from the example's heatmap by {gap:.0e} at most"

    check = as_the_example_does if method == "gradcam" and keras.config.backend() == "tensorflow" else None
    compare(
        SPEED,
        f"zoo: {method}",
        lambda: explain_batch(network, films, wanted, method),
        items=len(films),
        unit="images/s",
        check=check,
    )


@pytest.mark.tensorflow_only
def test_speed_of_the_example(compare: Callable[..., Any], real: Any) -> None:
    name = "Grad-CAM as in Keras' example (GradientTape over the network)"
    compare(SPEED, name, lambda: tape_gradcam(*real), items=len(real[1]), unit="images/s", peer=True)


def grid(found: Explanation) -> np.ndarray:
    (raw,) = found.members.values()
    return np.maximum(raw, 0) / max(raw.max(), 1e-12)


def tape_gradcam(network: Classifier, films: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """(n, rows, columns) heatmaps in 0..1, each over its maximum."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        features = network.backbone(films, training=False)
        tape.watch(features)
        logits = network.head(features, training=False)
        chosen = tf.gather(logits, wanted, axis=1, batch_dims=1)
    weights = tf.reduce_mean(tape.gradient(chosen, features), axis=(1, 2), keepdims=True)
    maps = tf.nn.relu(tf.reduce_sum(features * weights, axis=-1)).numpy()
    return maps / np.maximum(maps.max(axis=(1, 2), keepdims=True), 1e-12)


@dataclass
class Phantoms:
    """Images with their labels, and one row for each finding with a mask on one of them."""

    films: list[np.ndarray]
    labels: np.ndarray
    film: np.ndarray
    finding: np.ndarray
    masks: np.ndarray


def phantoms(n: int, seed: int) -> Phantoms:
    films, labels, pairs, masks = [], [], [], []
    for i, exam in enumerate(draw_exams(np.random.default_rng([seed, 0]), n)):
        image, shown = draw_phantom(
            np.random.default_rng([seed, 1, i]), exam.findings, view=exam.view, habitus=exam.habitus
        )
        films.append(image)
        labels.append([f in exam.findings for f in FINDINGS])
        for finding, mask in shown.items():
            if mask.any():
                pairs.append((i, FINDINGS.index(finding)))
                masks.append(mask)
    film, finding = np.array(pairs).T
    return Phantoms(films, np.array(labels, np.float32), film, finding, np.array(masks))


def pixels(films: list[np.ndarray], size: int) -> np.ndarray:
    return np.stack([read_image(film, size) for film in films])


def tiny_model() -> Ensemble:
    """A small network that has seen phantoms for a minute or two."""
    keras.utils.set_random_seed(0)
    made = phantoms(1500, SEED_OF_TRAINING)
    spec = EnsembleSpec(
        "tiny", (MemberSpec("tiny", dropout=0.1, weights=None, batch_norm_momentum=0.9),), image_size=SIZE
    )
    model = Ensemble.from_spec(spec)
    model.compile(keras.optimizers.Adam(2e-3), WeightedBCE())
    model.fit(pixels(made.films, SIZE), made.labels, batch_size=32, epochs=25, verbose=0)
    return model


def methods(model: Ensemble) -> tuple[str, ...]:
    try:
        for member in model.members:
            gap_kernel(member.head)
    except ValueError:
        return METHODS[1:]
    return METHODS


def interval(values: dict[str, np.ndarray], clusters: np.ndarray) -> dict[str, str]:
    """Means with 95% intervals from 2,000 resamples of images, as text."""

    def means(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: v @ weights / weights.sum(axis=0) for name, v in values.items()}

    samples = bootstrap(means, np.unique(clusters, return_inverse=True)[1], resamples=2000, seed=0)
    return {
        name: f"{v.mean():.3f}{brackets(*np.quantile(samples[name], (0.025, 0.975)))}" for name, v in values.items()
    }


def brackets(low: np.ndarray, high: np.ndarray) -> str:
    return "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"


def scores(heatmaps: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    energy, chance = energy_inside(heatmaps, masks), masks.mean(axis=(1, 2))
    return {
        "pointing game": pointing_game(heatmaps, masks),
        "energy inside": energy,
        "energy less chance": energy - chance,
    }


def randomise(model: Ensemble) -> Iterator[str]:
    """Shuffles the weights of all members from the head down, a stage more at each step; puts them back at the end."""
    before, rng = model.get_weights(), np.random.default_rng(0)
    leaves = [[x for x in leaf_layers(m.backbone.network) if x.weights][::-1] for m in model.members]
    stages: list[tuple[str, list[Any]]] = [("head", [m.head for m in model.members])]
    for i in range(STAGES):
        parts = [np.array_split(np.array(own, object), STAGES)[i] for own in leaves]
        stages.append((f"+ {(i + 1) / STAGES:.0%} of the layers", [x for part in parts for x in part]))
    for name, layers in stages:
        for layer in layers:
            layer.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in layer.get_weights()])
        yield name
    model.set_weights(before)


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two maps in 0..1 (Wang et al. 2004), Gaussian window of 1.5 pixels."""

    def blur(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x.astype(np.float64), 1.5)

    ma, mb = blur(a), blur(b)
    va, vb, cov = blur(a * a) - ma**2, blur(b * b) - mb**2, blur(a * b) - ma * mb
    c1, c2 = 0.01**2, 0.03**2
    return float(np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2))))
