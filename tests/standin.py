"""A predictor without Keras: logits that are plain sums of the pixels, and images for it.

python tests/standin.py IMAGES OUT KILL     scores a folder, and kills itself: see `KILLS`
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
from builders import FINDINGS3, tiny_spec
from PIL import Image

from zoo.core.progress import Silent
from zoo.evaluation.decision import Decision, OperatingPoint, Origin
from zoo.inference import resume, writers
from zoo.inference.predictor import Predictor
from zoo.runs import predict

BATCH = 4

#: Points at which a run may end, with the number of whole batches that it leaves behind.
KILLS = {"before the first mark": 0, "within a piece": 1, "before a mark": 2, "within a mark": 3, "before the end": 5}


class StandIn:
    """A runtime; `calls` are the numbers of images it was given."""

    name, precision, batch_size = "stand-in", "float32", BATCH

    def __init__(self) -> None:
        self.calls: list[int] = []
        self._weights = np.random.default_rng(0).normal(0, 4e-4, (32 * 32, len(FINDINGS3)))

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        self.calls.append(len(pixels))
        return (pixels.reshape(len(pixels), -1) @ self._weights).astype(np.float32)


def predictor(trained: tuple[bool, ...] = ()) -> Predictor:
    points = {n: OperatingPoint((t, t, None), Origin(n)) for n, t in (("max_f1", 0.3), ("sensitivity_90", 0.2))}
    decision = Decision(FINDINGS3, (1.7,), points, default="max_f1", trained=trained)
    return Predictor(StandIn(), tiny_spec(), decision, manifest_sha256="5" * 64)


def make_films(folder: Path, n: int = 18) -> Path:
    """Films in two folders, the third of which is empty, and one with a name that CSV must quote."""
    rng = np.random.default_rng(0)
    for i in range(n):
        path = folder / f"patient{i % 2}" / ("a, b.png" if i == 4 else f"film{i:03d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 50), dtype=np.uint8)).save(path)
    (folder / "patient0" / "film002.png").write_bytes(b"")
    return folder


def write(films: Path, out: Path, model: Predictor | None = None, **options) -> predict.Counts:
    """`predict.write_findings` with the stand-in."""
    return predict.write_findings(model or predictor(), [films], out, Silent(), **options)


def _kill_at(point: str) -> None:
    append, whole, count = resume.Journal.append, writers.Csv.whole, 0

    def appending(
        self: resume.Journal,
        piece: bytes,
        items: int,
        failed: int = 0,
        files: Any = (),
        rejected: int = 0,
        doubtful: int = 0,
    ) -> None:
        nonlocal count
        if count == KILLS[point] and point != "before the end":
            if point != "before the first mark":
                cut = len(piece) // 2 if point == "within a piece" else len(piece)
                self._rows.write(piece[:cut])
                self._rows.flush()
            if point == "within a mark":
                self._record.write(b'01234567 {"items": 99')
                self._record.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        append(self, piece, items, failed, files, rejected, doubtful)

    def ending(self: writers.Csv, pieces: Path) -> Path:
        if point == "before the end":
            os.kill(os.getpid(), signal.SIGKILL)
        return whole(self, pieces)

    resume.Journal.append, writers.Csv.whole = appending, ending


if __name__ == "__main__":
    _kill_at(sys.argv[3])
    write(Path(sys.argv[1]), Path(sys.argv[2]))
