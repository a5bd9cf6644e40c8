"""What the jobs of a run share: images, loss, progress, and the way to its checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from zoo.core.progress import Progress
from zoo.training.examples import Examples
from zoo.training.interruption import Interruption
from zoo.training.jobs import Position


@dataclass(frozen=True)
class Surroundings:
    """What all jobs of a run share.

    Attributes:
        examples: Training and validation images with their labels.
        loss: The loss that is minimised.
        logs: Folder of TensorBoard's files.
        checkpoint_minutes: Longest time between two checkpoints.
        interruption: Tells whether to stop.
        progress: Receives steps, epochs and messages.
        save: Writes a checkpoint of the given variables and the run's position.
        saved: Reads the newest checkpoint, or the one of the epoch's start (True): position, and variables or None.
        devices: Number of devices that share each batch.
    """

    examples: Examples
    loss: keras.losses.Loss
    logs: Path
    checkpoint_minutes: float
    interruption: Interruption
    progress: Progress
    save: Callable[[Mapping[str, np.ndarray]], None]
    saved: Callable[[bool], tuple[Position, Mapping[str, np.ndarray] | None] | None]
    devices: int = 1
