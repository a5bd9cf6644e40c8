"""Heatmaps held against the known masks of phantoms, and against networks whose weights were shuffled.

    python tests/benchmarks/bench_explain.py [--model RELEASE] [--films 150]

Without a release a tiny network is trained on phantoms first, in a minute or two. Where a finding lies is known to the
pixel on a phantom; what a heatmap is worth on patients is another question.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

import zoo
from zoo.data.images import read_image
from zoo.data.phantom_patients import draw_exams
from zoo.data.phantoms import draw_phantom
from zoo.evaluation.intervals import bootstrap, percentiles
from zoo.evaluation.metrics import roc_auc
from zoo.explain.cam import METHODS, gap_kernel
from zoo.explain.explanation import Explanation, enlarge, explain, explain_batch
from zoo.explain.pointing import energy_inside, pointing_game
from zoo.findings import FINDINGS
from zoo.models.backbones import leaf_layers
from zoo.models.ensemble import Ensemble
from zoo.specs import EnsembleSpec, MemberSpec
from zoo.training.losses import WeightedBCE

SIZE, BATCH, ROUNDS, STAGES, RANDOMISED = 64, 64, 5, 4, 48
SEED_OF_TRAINING, SEED_OF_FILMS = 7, 11


@dataclass
class Phantoms:
    """Films with their labels, and one row for each finding with a mask on one of them."""

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
    """Means with 95% intervals from 2,000 resamples of films, as text."""

    def means(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: v @ weights / weights.sum(axis=0) for name, v in values.items()}

    samples = bootstrap(means, np.unique(clusters, return_inverse=True)[1], resamples=2000, seed=0)
    return {name: f"{v.mean():.3f}{brackets(*percentiles(samples[name]))}" for name, v in values.items()}


def brackets(low: np.ndarray, high: np.ndarray) -> str:
    return "" if np.isnan(low) else f" [{low:.3f}, {high:.3f}]"


def scores(heatmaps: np.ndarray, masks: np.ndarray) -> dict[str, np.ndarray]:
    energy, chance = energy_inside(heatmaps, masks), masks.mean(axis=(1, 2))
    return {"pointing": pointing_game(heatmaps, masks), "energy": energy, "less chance": energy - chance}


def score(model: Ensemble, made: Phantoms, size: int) -> dict[str, np.ndarray]:
    """Prints what each method's maps are worth; returns the default method's scores."""
    inputs, shape = pixels(made.films, size), made.films[0].shape
    chance = made.masks.mean(axis=(1, 2))
    print(f"\n{len(made.films)} films of phantoms that no model was trained on, {len(chance)} findings with a mask.")
    print("In brackets: 95% intervals from 2,000 resamples of films. A map without a positive value is a miss.\n")
    print("| map | pointing game | energy inside | energy less chance | empty maps |\n|---|---:|---:|---:|---:|")
    centre = np.zeros((1, *shape))
    centre[0, shape[0] // 2, shape[1] // 2] = 1
    rows = {"all over the film (chance)": np.ones((1, *shape)), "the film's middle pixel": centre}
    kept: dict[str, np.ndarray] = {}
    for name in (*rows, *methods(model)):
        if name in rows:
            heat = np.broadcast_to(rows[name], made.masks.shape)
        else:
            found = explain_batch(model, inputs[made.film], made.finding, name, batch_size=BATCH)
            heat = np.stack([enlarge(e.raw, shape) for e in found])
        got = scores(heat, made.masks)
        if name.startswith("all over"):
            got["pointing"] = chance  # of a pixel drawn at random
        kept = got if name == "gradcam" else kept
        text, empty = interval(got, made.film), np.mean(heat.max(axis=(1, 2)) <= 0)
        print(f"| {name} | {text['pointing']} | {text['energy']} | {text['less chance']} | {empty:.0%} |")
    return kept


def by_finding(model: Ensemble, made: Phantoms, size: int, got: dict[str, np.ndarray]) -> None:
    logits = np.asarray(model.predict(pixels(made.films, size), batch_size=BATCH, verbose=0))
    auc, area = roc_auc(made.labels, logits), made.masks.mean(axis=(1, 2))
    print("\nGrad-CAM by finding (AUC on the same films; area: the mask's share of the film):\n")
    print("| finding | n | AUC | pointing game | energy inside | area |\n|---|---:|---:|---:|---:|---:|")
    for j in np.unique(made.finding):
        rows = made.finding == j
        text = interval({k: v[rows] for k, v in got.items()}, made.film[rows])
        cells = f"{auc[j]:.3f} | {text['pointing']} | {text['energy']} | {area[rows].mean():.3f}"
        print(f"| {FINDINGS[j]} | {rows.sum()} | {cells} |")


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


def randomisation(model: Ensemble, made: Phantoms, size: int) -> None:
    rows = np.unique(made.film, return_index=True)[1][:RANDOMISED]
    inputs, wanted = pixels([made.films[i] for i in made.film[rows]], size), made.finding[rows]
    names = methods(model)

    def maps() -> dict[str, list[Explanation]]:
        return {m: explain_batch(model, inputs, wanted, m, batch_size=BATCH) for m in names}

    before = maps()
    print(f"\nCascading randomisation (Adebayo et al. 2018), {len(rows)} films: rank correlation of the signed maps /")
    print(
        "SSIM of the heatmaps with those of the trained weights. A map that depends on what was learned falls to 0.\n"
    )
    print(f"| shuffled | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
    for stage in randomise(model):
        after, cells = maps(), []
        for m in names:
            pairs = list(zip(before[m], after[m], strict=True))
            ranks = [spearmanr(a.raw.ravel(), b.raw.ravel()).statistic for a, b in pairs]
            cells.append(f"{np.nanmean(ranks):.2f} / {np.mean([ssim(a.heatmap, b.heatmap) for a, b in pairs]):.2f}")
        print(f"| {stage} | {' | '.join(cells)} |")


def speed(model: Ensemble, made: Phantoms) -> None:
    print(f"\n| method | one film (ms, median of {ROUNDS}) |\n|---|---:|")
    for method in methods(model):
        times = []
        for i in range(ROUNDS + 1):
            start = time.perf_counter()
            explain(model, made.films[i], int(made.finding[0]), method)
            times.append(time.perf_counter() - start)
        print(f"| {method} | {1000 * statistics.median(times[1:]):.0f} |")  # the first one compiles


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", help="release folder, or a name that zoo.load takes")
    parser.add_argument("--films", type=int, default=150)
    arguments = parser.parse_args()
    model = zoo.load(arguments.model).model if arguments.model else tiny_model()
    if model.output_shape[-1] != len(FINDINGS):
        sys.exit(f"phantoms have {len(FINDINGS)} findings, the model has {model.output_shape[-1]}")
    size, members = model.input_shape[1], ", ".join(m.name for m in model.members)
    grids = sorted({f"{m.backbone.output_shape[1]} x {m.backbone.output_shape[2]}" for m in model.members})
    print(f"## Explanations ({keras.config.backend()}; {members}; {size} px, maps of {', '.join(grids)})")
    made = phantoms(arguments.films, SEED_OF_FILMS)
    by_finding(model, made, size, score(model, made, size))
    randomisation(model, made, size)
    speed(model, made)
    print()


if __name__ == "__main__":
    main()
