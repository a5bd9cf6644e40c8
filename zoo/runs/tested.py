"""Makes the scores of the test part that a release keeps, for `zoo monitor`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

import numpy as np

from zoo.core.errors import ImageError
from zoo.core.progress import Progress
from zoo.data.images.reading import read_sized
from zoo.evaluation.scores import Scores
from zoo.gate.reference import Reference
from zoo.release.tested import QUALITIES, OwnScores, choose

#: So many images are judged by the quality checks; of more the word is unknown, which costs no time.
_JUDGED = 2000


def own_scores(
    scores: Scores, paths: Sequence[str], gate: Reference | None, size: int, progress: Progress, seed: int
) -> OwnScores | None:
    """Returns the scores of the test part, with the words of the quality checks.

    Args:
        scores: Those of the released network on the test part.
        paths: The image of each row.
        gate: The quality checks, or None.
        size: Height and width of the network's input.
        progress: Receives the progress.
        seed: Of the choice among many images.

    Returns:
        None if the part is empty.
    """
    rows, patients = choose(scores.clusters, len(scores.findings), seed)
    if not len(rows):
        return None
    words = np.full(len(rows), QUALITIES.index("unknown"), np.uint8)
    if gate is not None:
        judged = rows[:_JUDGED].tolist()
        with progress.task("quality of the test part", len(judged)) as advance:
            for i, row in enumerate(judged):
                with suppress(ImageError):  # a cache may hold an image whose file is gone: its quality stays unknown
                    words[i] = QUALITIES.index(gate.judge(*read_sized(paths[row], size)).quality)
                advance()
    return OwnScores(scores.logits[rows].astype(np.float32), patients, words)
