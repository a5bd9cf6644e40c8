"""Members trained by processes side by side: one process for each member, as many at a time as cores or GPUs allow.

Each process (`zoo.training.member`) keeps checkpoints in the folder of its member. This one starts them, shows their
progress, asks them to stop, and reports the end of one that died. They are started anew and never forked. Each has its
share of the cores as threads. That number decides the order in which a CPU adds numbers, hence the last bits of the
weights: it is stored with the checkpoints, and a resumed run keeps it on any number of cores.
"""

from __future__ import annotations

import dataclasses
import pickle
import queue
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.core.counting import counted
from zoo.core.errors import TrainingError, ZooError
from zoo.core.process import cores
from zoo.core.progress import Progress
from zoo.core.warn import warn_user
from zoo.training import devices
from zoo.training.children import Child, Events
from zoo.training.interruption import Interruption
from zoo.training.jobs import member_folder
from zoo.training.loop import Work
from zoo.training.member import locked

#: Seconds between two looks at whether to stop.
_LOOK = 0.2


@dataclass(frozen=True)
class Share:
    """How members share a machine.

    Attributes:
        at_a_time: Number of processes at a time.
        threads: Threads of each member. Where the last ones are fewer than run at a time, all cores are theirs.
        gpus: Name of the GPU of each process; () on a CPU.

    Example:
        >>> Share.of(members=3, cores=8)
        Share(at_a_time=3, threads=(2, 2, 2), gpus=())
        >>> Share.of(members=3, cores=2)
        Share(at_a_time=2, threads=(1, 1, 2), gpus=())
    """

    at_a_time: int
    threads: tuple[int, ...]
    gpus: tuple[str, ...] = ()

    @classmethod
    def of(cls, members: int, cores: int, gpus: Sequence[str] = ()) -> Share:
        """Shares cores and GPUs out among members."""
        at_a_time = min(members, len(gpus) or cores)
        beside = (min(at_a_time, members - i + i % at_a_time) for i in range(members))
        return cls(at_a_time, tuple(max(1, cores // count) for count in beside), tuple(gpus[:at_a_time]))


@dataclass(frozen=True)
class Members:
    """The members of a run.

    Attributes:
        works: The work of each member, in order.
        share: How they share the machine.
        done: Name -> history, for members that are done.
    """

    works: tuple[Work, ...]
    share: Share
    done: Mapping[str, list[dict[str, Any]]]


def prepare(work: Work, progress: Progress) -> Members:
    """Divides a work by member, and checks that what was begun can be resumed, before any process starts.

    Args:
        work: The work of all members.
        progress: Receives how the machine is shared.

    Raises:
        CheckpointError: A member was trained with another recipe, split, data or precision, or is being trained.
    """
    names = list(dict.fromkeys(job.member for job in work.jobs))
    share = Share.of(len(names), cores(), devices.gpus())
    works = []
    for name in names:
        folder = member_folder(work.run_dir, name)
        jobs = tuple(job for job in work.jobs if job.member == name)
        parts = {job.fold: work.parts[job.fold] for job in jobs}
        works.append(dataclasses.replace(work, jobs=jobs, folder=folder, parts=parts, who=name))
    threads = share.threads
    done: dict[str, list[dict[str, Any]]] = {}
    for one in works:
        one.folder.mkdir(parents=True, exist_ok=True)
        with locked(one.folder, progress):  # a process of an earlier, killed run may still write its last checkpoint
            begun = one.begun()
        if begun is not None:
            saved, position = begun
            threads = tuple(saved["threads"])
            done |= {one.who: position.history} if position.job >= len(one.jobs) else {}
    if len(done) < len(works):
        progress.message(_told(share, threads, [i for i, one in enumerate(works) if one.who not in done]))
    identity = {**work.identity, "threads": list(threads)}
    works = [dataclasses.replace(one, identity=identity) for one in works]
    return Members(tuple(works), dataclasses.replace(share, threads=threads), done)


def run(members: Members, watch: Interruption, progress: Progress) -> tuple[str, list[dict[str, Any]]]:
    """Trains members in processes, each from its newest checkpoint.

    Args:
        members: What `prepare` returned.
        watch: Tells whether to stop. The processes then write a checkpoint after the current step.
        progress: Receives steps, epochs and messages of all of them.

    Returns:
        "" when all are done, otherwise the reason why they stopped; and one row per epoch, in the order of the members.

    Raises:
        TrainingError: A process ended before it was done. The others have stopped at a checkpoint.
        ZooError: What a process raised.
    """
    crew = _Crew(members, progress)
    try:
        while crew.busy:
            crew.start_more()
            crew.listen()
            if watch.reason or crew.reason:
                crew.stop()
    finally:
        crew.kill()
    if crew.failure is not None:
        raise crew.failure
    history = [row for work in members.works for row in crew.history.get(work.who, [])]
    return (watch.reason or crew.reason) if crew.unfinished else watch.signal, history


class _Crew:
    """The processes, and what they have told."""

    def __init__(self, members: Members, progress: Progress) -> None:
        self.history = dict(members.done)
        self.reason = ""
        self.failure: ZooError | None = None
        self._share, self._progress = members.share, progress
        self._waiting = [
            (work, threads)
            for work, threads in zip(members.works, members.share.threads, strict=True)
            if work.who not in members.done
        ]
        self.unfinished = {work.who for work, _ in self._waiting}
        self._running: dict[str, Child] = {}
        self._events: Events = queue.Queue()
        self._gpus = list(members.share.gpus)

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._running)

    def start_more(self) -> None:
        while self._waiting and len(self._running) < self._share.at_a_time:
            work, threads = self._waiting.pop(0)
            gpu = self._gpus.pop(0) if self._gpus else ""
            self._running[work.who] = Child(work, threads, gpu, self._events)

    def listen(self) -> None:
        """Handles what has been told, or waits for it a moment."""
        try:
            name, event = self._events.get(timeout=_LOOK)
        except queue.Empty:
            return
        if event is None:
            self._ended(name)
        else:
            self._handle(name, *event)

    def stop(self) -> None:
        self._waiting.clear()
        for process in self._running.values():
            process.stop()

    def kill(self) -> None:
        for process in self._running.values():
            process.kill()

    def _handle(self, name: str, kind: str, *told: Any) -> None:
        if kind == "warning":
            warn_user(f"{name}: {told[0]}")
        elif kind == "end":
            stopped, self.history[name] = told
            self.reason = self.reason or stopped
            self.unfinished -= set() if stopped else {name}
        elif kind == "error":
            self._fail(pickle.loads(bytes.fromhex(told[0])))
        else:
            getattr(self._progress, kind)(*told)

    def _ended(self, name: str) -> None:
        process = self._running.pop(name)
        self._gpus += [process.gpu] if process.gpu else []
        if process.status:
            self._fail(TrainingError(process.last_words()))

    def _fail(self, error: ZooError) -> None:
        self.failure = self.failure or error
        self.reason = "error"


def _told(share: Share, threads: Sequence[int], left: Sequence[int]) -> str:
    """How the members that are left, by their place, are trained."""
    device = "GPU" if share.gpus else "processor core"
    each = f"with {_threads([threads[i] for i in left])}"
    if share.at_a_time == 1 and len(left) > 1:
        told = f"one {device} is free: {len(left)} members are trained one after the other, {each}"
    else:
        side_by_side = min(len(left), share.at_a_time)
        told = f"{counted(len(left), 'member')} in processes of their own, {side_by_side} at a time, {each}"
    if threads != share.threads:
        given = _threads([share.threads[i] for i in left])
        told += f" (as the run began, so that it ends bit for bit the same; this machine would give {given})"
    return told


def _threads(numbers: Sequence[int]) -> str:
    if len(set(numbers)) == 1:
        return f"{counted(numbers[0], 'thread')} each"
    return f"{', '.join(map(str, numbers))} threads"
