"""Thousands of damaged files, requests, networks and kills: nothing may be lost, wrong or executed.

    make soak MINUTES=55                    all kinds, each in its turn; goes on where the totals end
    make soak MINUTES=10 ONLY="images"      some kinds
    cd tests && python -m soak images --trial 4711     one trial again, alone, with its whole traceback

A kind is a module of `soak.kinds` (any module with these names):

    AIM = 2_000                # trials in all, or of what they hold
    SECONDS = 5.0              # a trial that takes longer is killed and counts as hung
    CLOCK = "processor"        # optional: these are seconds of the worker's processor time, on a busy machine
    TURN = 900.0               # optional: seconds of a turn, where to get ready takes long
    MEMORY = 1 << 30           # optional: bytes that one trial may take beyond what was there before it

    @contextmanager
    def ready(folder: Path) -> Iterator[Trial]:
        ...                    # what is made once: a release, a server. `folder` is the kind's own and empty.
        yield trial            # trial(number: int, rng: np.random.Generator) -> str, or (str, how many of the aim)

A trial does one thing that its number and `rng` determine, and says in a few words what was tried and what came of it
("png, length of a chunk: refused"): equal words are counted together, so they hold no numbers. Its number and its kind
are its seed: a trial does not depend on those before it. It raises `Wrong`, `Lost` or `Executed` where the aim is
missed; any other exception counts as crashed.

Trials run in a worker, a process with `KERAS_BACKEND=tensorflow` (a kind that wants another backend starts its own
processes), which the parent watches: a worker that dies or hangs fails the trial it was at and is started anew. The
journal `build/soak/KIND.jsonl` has a line for each trial. At the end of a call what it holds is added to
`tests/soak/totals.json`, from which `results.md` is written: commit both, and the next call goes on from there on any
machine. A trial is counted once, by its number; a failed one is tried again at the next call. `MINUTES=0` only adds up.
Files of the tree must not change meanwhile: processes import some of them late, and releases hold a hash of the code.
"""

from .trials import Executed, Lost, Trial, Wrong

__all__ = ["Executed", "Lost", "Trial", "Wrong"]
