"""Small things that several tests need: tiny ensembles with lively weights, and releases of them.

python tests/builders.py FOLDER     writes a tiny release, for a leg that runs on another backend
"""

import atexit
import functools
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

from zoo.config.specs import EnsembleSpec, MemberSpec

FINDINGS3 = ("Atelectasis", "Edema", "No Finding")


def tiny_spec(members: int = 2, findings: tuple[str, ...] = FINDINGS3, image_size: int = 32) -> EnsembleSpec:
    heads = ("gap", "gem", "attention")
    return EnsembleSpec(
        name="tiny-ensemble",
        members=tuple(MemberSpec("tiny", head=heads[i], alias=f"tiny{i}") for i in range(members)),
        image_size=image_size,
        findings=findings,
    )


def tiny_ensemble(spec: EnsembleSpec, seed: int = 0):
    """Built from the spec, with weights such that its logits spread by 1 or more on random films."""
    from zoo.models.ensemble import Ensemble
    from zoo.release import golden

    model = Ensemble.from_spec(spec)
    rng = np.random.default_rng(seed)
    for variable in model.weights:
        if variable.path.endswith("kernel"):
            fan_in = max(1, int(np.prod(variable.shape[:-1])))
            variable.assign(rng.normal(0, 1.5 / np.sqrt(fan_in), variable.shape))
    noise = rng.integers(0, 256, (16, spec.image_size, spec.image_size, 1), dtype=np.uint8)
    for member in model.members:
        logits = (np.asarray(member.predict(x, verbose=0)) for x in (noise, golden.images(spec.image_size)))
        spread = min(float(np.std(z, axis=0).mean()) for z in logits)
        for variable in member.head.trainable_variables:
            if variable.path.endswith("kernel"):
                variable.assign(np.asarray(variable) * (2.0 / max(spread, 1e-6)))
    return model


def tiny_release(folder: Path, members: int = 2, seed: int = 0, **options) -> Path:
    """A release of a tiny ensemble whose decision has one threshold a finding, none for the last.

    Args:
        folder: Where it shall lie.
        members: How many.
        seed: Of the weights.
        **options: Of `write_release`, in place of the small ones here.
    """
    if options:
        return _write(folder, members, seed, **options)
    return Path(shutil.copytree(_written(members, seed), folder))


@functools.cache
def _written(members: int, seed: int) -> Path:
    """Building a network takes seconds: each release is built once a process, and copied."""
    folder = Path(tempfile.mkdtemp(prefix="tiny-release-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return _write(folder / "release", members, seed)


def _write(folder: Path, members: int, seed: int, **options) -> Path:
    from zoo.evaluation.decision import Decision, OperatingPoint, Origin
    from zoo.release.write import write_release

    spec = tiny_spec(members)
    k = len(spec.findings)
    origin = Origin("max_f1", split="validation", split_hash="5" * 64, n=(100,) * k, positives=(10,) * k)
    points = {"max_f1": OperatingPoint((*(0.3,) * (k - 1), None), origin)}
    decision = Decision(spec.findings, (1.7,), points, default="max_f1")
    alone = Decision(spec.findings, (1.2,), points, default="max_f1")
    return write_release(
        folder,
        tiny_ensemble(spec, seed),
        spec,
        decision,
        member_decisions={spec.members[0].name: alone},
        **{"provenance": {"seed": seed}, "card": "# tiny", **options},
    )


if __name__ == "__main__":
    print(tiny_release(Path(sys.argv[1])))
