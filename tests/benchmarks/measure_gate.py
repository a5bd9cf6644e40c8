"""What the quality checks reject: good images wrongly, faulty and foreign ones rightly; and what they cost in time.

    python tests/benchmarks/measure_gate.py --data DIR --out tests/benchmarks/results-gate.md

`DIR` holds NIH's table and images; give --data again to join several. The checks are fitted anew for each of five
folds of the patients and measured on the patients left out. Photographs are those that installed packages bring
(scikit-image, scikit-learn, matplotlib), other DICOM files are pydicom's test files; text pages and noise are drawn. No
claim is made where fewer than 60 images were measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.cross_validate import folds_of

import zoo
from zoo.core.errors import ImageError
from zoo.data.images.limits import Limits
from zoo.data.images.reading import read_image
from zoo.data.tables.reading import read_table
from zoo.evaluation.statistics.proportions import proportion
from zoo.gate.changes import Change, cut, cut_anywhere, inverted, mirrored, shuffled, turned, varied
from zoo.gate.descriptor import reduce
from zoo.gate.fitting import Samples, fit
from zoo.gate.reference import Reference

SIZE, FOLDS, LEAST, CLAIM = 224, 5, 60, 0.95

CHANGES: dict[str, Change] = {
    "as they are": lambda image, rng: image,
    "varied a little (6 degrees, 4 % moved, 8 % zoomed, gamma 0.75 to 1.33)": varied,
    "turned by 90 degrees": turned(1),
    "turned by 180 degrees": turned(2),
    "turned by 270 degrees": turned(3),
    "upside down (mirrored as well)": lambda image, rng: image[::-1],
    "mirrored": mirrored,
    "inverted": inverted,
    "cropped: 45 to 65 % of both sides, anywhere": cut_anywhere,
    "cropped: left or right part, 45 to 65 %": lambda image, rng: cut(None, float(rng.integers(2)))(image, rng),
    "cropped: upper part, 45 to 65 %": cut(0, None),
    "cropped: lower part, 45 to 65 %": cut(1, None),
    "cropped: the middle 80 % of both sides": lambda image, rng: image[22:-22, 22:-22],
    "shuffled in 2 x 2 tiles": lambda image, rng: shuffled(image, rng, 2),
    "shuffled in 3 x 3 tiles": lambda image, rng: shuffled(image, rng, 3),
    "shuffled in 4 x 4 tiles": lambda image, rng: shuffled(image, rng, 4),
    "shuffled in 8 x 8 tiles": lambda image, rng: shuffled(image, rng, 8),
    "too dark: a twelfth of the brightness": lambda image, rng: image // 12,
    "too bright: five times, cut off at white": lambda image, rng: np.minimum(image * 5.0, 255).astype(np.uint8),
    "almost blank: a twelfth of the contrast": lambda image, rng: (117 + image // 12).astype(np.uint8),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, action="append", required=True)
    parser.add_argument("--dataset", default="nih")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    paths, patients = rows_of(options.data, options.dataset)
    images = [read_image(path, SIZE) for path in paths]
    samples = Samples()
    for image in images:
        samples.add(image)
    lines = [*on_good(images, patients, samples), *on_others(fit(samples, patients))]
    text = HEAD.format(images=len(images), patients=len(set(patients)), size=SIZE)
    options.out.write_text("\n".join([text, *lines, "", *times(paths), ""]), "utf-8")
    print(options.out)


HEAD = """\
# Quality checks

Made by `measure_gate.py` on {images:,} frontal radiographs of {patients:,} patients of NIH ChestX-ray14 at {size} px.
Changed and unchanged radiographs are judged by checks that were fitted on other patients (five folds); all others by
checks fitted on all radiographs. In brackets: Wilson's 95 % interval, adjusted for several images of a patient. A
claim is made for 95 % or more of at least 60 images. All radiographs are of one hospital: elsewhere more may be
rejected wrongly. Images of a single grey level are not read at all, and counted as rejected.

| images | n | rejected | doubtful | claim |
| --- | ---: | ---: | ---: | --- |"""


def rows_of(data: Sequence[Path], dataset: str) -> tuple[list[str], np.ndarray]:
    """Paths and patients of all images."""
    tables = [read_table(dataset, folder) for folder in data]
    paths = [path for table in tables for path in table["Image_path"]]
    return paths, np.concatenate([table["Patient_ID"].astype(str).to_numpy() for table in tables])


def on_good(images: Sequence[np.ndarray], patients: np.ndarray, samples: Samples) -> Iterator[str]:
    """Rows of radiographs, each judged by the checks of other patients."""
    fold = folds_of(patients, FOLDS, 0)
    found: dict[str, list[str]] = {name: [""] * len(images) for name in CHANGES}
    rng = np.random.default_rng(1)
    for number in range(FOLDS):
        kept = np.flatnonzero(fold != number)
        part = Samples()
        part.good, part.faulty = [samples.good[i] for i in kept], [samples.faulty[i] for i in kept]
        part.tones = [samples.tones[i] for row in kept for i in (2 * row, 2 * row + 1)]
        gate = fit(part, patients[kept])
        for row in np.flatnonzero(fold == number):
            for name, change in CHANGES.items():
                found[name][row] = judge(gate, change(images[row][..., 0], rng))
    clusters = np.unique(patients, return_inverse=True)[1]
    for name, words in found.items():
        yield line(f"radiographs, {name}", words, clusters, good=name == "as they are" or name.startswith("varied"))


def on_others(gate: Reference) -> Iterator[str]:
    """Rows of images that are no chest radiographs."""
    rng = np.random.default_rng(2)
    noise = [rng.integers(0, 256, (SIZE, SIZE), dtype=np.uint8) for _ in range(500)]
    yield line("noise", [judge(gate, image) for image in noise])
    yield line("text pages, drawn", [judge(gate, text_page(rng)) for _ in range(500)])
    blank = [rng.integers(level, level + 3, (SIZE, SIZE), dtype=np.uint8) for level in rng.integers(0, 253, 500)]
    yield line("blank pages (up to 3 grey levels)", [judge(gate, image) for image in blank])
    for name, files in (("photographs and drawings of packages", photographs()), ("other DICOM files", dicoms())):
        yield line(f"{name}, all different", [judge(gate, image) for image in different(files)])


def judge(gate: Reference, image: np.ndarray) -> str:
    """The quality of an image of any size; one with a single grey level is not read, which counts as rejected."""
    try:
        pixels = read_image(np.ascontiguousarray(image), SIZE)
    except ImageError:
        return "rejected"
    return gate.judge(pixels, (SIZE, SIZE)).quality


def line(name: str, words: Sequence[str], clusters: np.ndarray | None = None, *, good: bool = False) -> str:
    """One row of the table."""
    n, share = len(words), Counter(words)
    cells = []
    for quality in ("rejected", "doubtful"):
        hits = np.array([word == quality for word in words], float)
        at = proportion(hits, clusters)
        cells.append(f"{100 * at.value:.1f} % ({100 * at.low:.1f} to {100 * at.high:.1f})")
    claim = "" if good else "yes" if n >= LEAST and share["rejected"] / n >= CLAIM else "no"
    print(name, cells, flush=True)
    return f"| {name} | {n:,} | {cells[0]} | {cells[1]} | {claim} |"


def text_page(rng: np.random.Generator) -> np.ndarray:
    """A page of random words, black on white, some of them set larger."""
    page = Image.new("L", (600, 800), 255)
    draw, y = ImageDraw.Draw(page), 20
    while y < 760:
        size = int(rng.choice([12, 16, 16, 16, 28]))
        words = ["".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(2, 11))) for _ in range(14)]
        draw.text((30, y), " ".join(words)[: int(rng.integers(20, 90))], rng.integers(0, 80).item(),
                  ImageFont.load_default(size))  # fmt: skip
        y += int(size * 1.5)
    return np.asarray(page)


def photographs() -> list[Path]:
    """Image files in installed packages."""
    places = {"skimage": "data", "sklearn": "datasets/images", "matplotlib": "mpl-data/sample_data"}
    roots = [Path(s.origin).parent / f for p, f in places.items() if (s := find_spec(p)) is not None and s.origin]
    return [path for root in roots for path in sorted(root.glob("*")) if path.suffix in (".png", ".jpg", ".tif")]


def dicoms() -> list[Path]:
    """pydicom's test files: CT, MR, ultrasound, screen shots."""
    spec = find_spec("pydicom")
    return sorted((Path(str(spec.origin)).parent / "data/test_files").glob("*.dcm")) if spec is not None else []


def different(files: Sequence[Path]) -> Iterator[np.ndarray]:
    """The readable ones among files, without those that look like an earlier one."""
    seen: list[np.ndarray] = []
    for path in files:
        try:
            image = read_image(path, SIZE, limits=Limits(any_modality=True))
        except ImageError:
            continue
        small = reduce(image).astype(np.int16)
        if all(np.abs(small - other).mean() > 8 for other in seen):
            seen.append(small)
            yield image[..., 0]


def times(paths: Sequence[str]) -> list[str]:
    """Sentences on the time of a prediction with and without the checks, alternately."""
    lines = [
        "## Time",
        "",
        "A prediction from files with `nih-lite`, with the checks over without them (the median of 7 pairs):",
        "",
    ]
    for runtime in ("keras", "openvino"):
        if runtime == "openvino" and find_spec("openvino") is None:
            continue
        model = zoo.load("nih-lite", runtime=runtime)
        gate, some = model.gate, list(paths[:128])
        rates = []
        for _ in range(8):
            model.gate = None
            without = timed(model, some)
            model.gate = gate
            rates.append(timed(model, some) / without)
        low, middle, high = np.quantile(rates[1:], (0, 0.5, 1))
        lines.append(f"- {runtime}: {middle:.2f} times ({low:.2f} to {high:.2f}); {len(some)} images a round")
    return lines


def timed(model: zoo.Predictor, paths: Sequence[str]) -> float:
    """Seconds to predict all images."""
    start = time.perf_counter()
    for _ in model.stream(paths):
        pass
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
