"""What a kind of trials is, and what a trial may end with."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

#: Runs the trial of a number, and says what was tried and what came of it; and, where a trial holds several of what the
#: aim of its kind counts, how many.
Trial: TypeAlias = Callable[[int, np.random.Generator], str | tuple[str, int]]

SEED = 17

#: Verdicts of a trial; all but the first are failures.
PASSED, WRONG, LOST, EXECUTED = "passed", "wrong", "lost", "executed"
CRASHED, DIED, HUNG, MEMORY = "crashed", "died", "hung", "memory"

#: Kinds in the order of the page. A kind whose module is not there is left out.
KINDS = ("kills", "disks", "images", "releases", "pickles", "tables", "service", "page", "node", "hub")


class Missed(Exception):
    """An aim that a trial missed."""

    verdict = ""


class Wrong(Missed):
    """A wrong result, or one that cannot be trusted."""

    verdict = WRONG


class Lost(Missed):
    """A result or a file that was there is gone."""

    verdict = LOST


class Executed(Missed):
    """Something in a file was run, or wrote, opened or asked for what it must not."""

    verdict = EXECUTED


@dataclass(frozen=True)
class Kind:
    """A kind of trials; see `soak`."""

    name: str
    module: str
    aim: int
    seconds: float
    memory: int
    clock: str
    ready: Callable[[Path], AbstractContextManager[Trial]]
    turn: float = 0.0


def kind_of(name: str) -> Kind:
    """The kind of a name, or of a dotted module."""
    dotted = name if "." in name or name not in KINDS else f"soak.kinds.{name}"
    module = importlib.import_module(dotted)
    memory, clock = getattr(module, "MEMORY", 1 << 30), getattr(module, "CLOCK", "wall")
    turn = getattr(module, "TURN", 0.0)
    return Kind(name.rpartition(".")[2], dotted, module.AIM, module.SECONDS, memory, clock, module.ready, turn)


def rng_of(kind: str, number: int) -> np.random.Generator:
    return np.random.default_rng([SEED, zlib.crc32(kind.encode()), number])
