"""Damaged image files, one between two sound ones: an image or a row that says why, and the neighbours' logits stay."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from builders import tiny_release

from soak import Trial, Wrong
from soak.damaged_images import damaged
from soak.mutation import Rng
from soak.sandbox import confined
from soak.sound_images import chest, sound_images

AIM, SECONDS, CLOCK = 10_000, 5.0, "processor"

#: `Limits`: twice the bytes of a file and 16 bytes for each pixel.
MEMORY = 2 * 256_000_000 + 16 * 64_000_000

#: Folder with files that others made to do harm; they are read as they are before the damaged ones.
COLLECTED = "ZOO_HOSTILE_DIR"


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    import zoo
    from zoo.core import home
    from zoo.release.folder import ReleaseFolder

    predictor = zoo.load(tiny_release(folder / "release"))
    predictor.gate = ReleaseFolder(home.INCLUDED / "nih-lite").gate
    parents, collected = sound_images(), _collected()
    first, last = chest(1, 96, 80), chest(2, 64, 80)
    # A batch of two and a batch of three; a row of the network does not depend on the others.
    wanted = next(iter(predictor.stream([first, last]))).logits
    between = next(iter(predictor.stream([first, chest(3, 64, 64), last]))).logits[[0, 2]]
    if not np.array_equal(wanted, between):
        raise Wrong("the logits of an image depend on its neighbours, without any damage")

    def trial(number: int, rng: Rng) -> str:
        if number < len(collected):
            data, done = collected[number].read_bytes(), f"collected, {collected[number].parent.name}"
        else:
            names = [*parents]
            name = names[number % len(names)]
            data, done = damaged(parents[name], name, [*parents.values()], rng)
        source: Path | bytes = data
        if rng.random() < 0.5:
            source = folder / "mutant"
            source.write_bytes(data)
        with confined(folder):
            found = next(iter(predictor.stream([first, source, last], batch_size=4)))
        if not np.array_equal(found.logits[[0, 2]], wanted) or found.errors[0] or found.errors[2]:
            raise Wrong(f"{done}: the neighbours changed: {found.errors}")
        finite, error = np.isfinite(found.logits[1]).all(), found.errors[1]
        if finite == bool(error):
            raise Wrong(f"{done}: logits {found.logits[1]} and error {error!r}")
        if error and (not np.isnan(found.logits[1]).all() or not error.isprintable() or len(error) > 1000):
            raise Wrong(f"{done}: an error that is no line, or half a row: {error!r}")
        return f"{done}: {'read, ' + found.verdicts[1].quality if finite else 'refused'}"

    yield trial


def _collected() -> list[Path]:
    folder = os.environ.get(COLLECTED)
    return sorted(path for path in Path(folder).rglob("*") if path.is_file()) if folder else []
