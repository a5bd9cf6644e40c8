"""A release that lacks nothing for publishing, other numbers for it, and what a Hub's log says of it."""

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np
from builders import FINDINGS3, tiny_release

from zoo.evaluation.report import evaluate
from zoo.evaluation.result import to_json
from zoo.evaluation.scores import Scores
from zoo.release import card, manifest
from zoo.release.read import read_release

REPO = "tester/tiny"
COMMIT = f"POST /api/models/{REPO}/commit/main"
PROVENANCE = {"seed": 0, "split": {"by": "patient", "seed": 7, "hash": "5" * 64}}


@functools.cache
def metrics(seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = (rng.random((60, len(FINDINGS3))) < 0.4).astype(float)
    logits = (labels + rng.normal(size=labels.shape)).astype(np.float32)
    return to_json(evaluate({"tiny-ensemble": Scores(logits, labels, FINDINGS3, "test", "5" * 64)}))


def publishable_release(folder: Path) -> Path:
    """A copy of one that is built once."""
    shutil.copytree(_built(), folder)
    rewrite(folder, "metrics.json", lambda _: metrics())
    rewrite(folder, manifest.MANIFEST, lambda data: {**data, "license": "cc-by-4.0", "provenance": PROVENANCE})
    found = read_release(folder)
    text = card.render(found.spec, found.evaluation, provenance=found.provenance, license=found.license)
    (folder / manifest.CARD).write_text(text, "utf-8")
    _list(folder)
    return folder


def rewrite(folder: Path, name: str, change) -> None:
    """Alters a JSON file of a release, as a later run would, with its place in the manifest."""
    data = manifest.read_json(folder / name)
    changed = change(data)
    manifest.write_json(folder / name, data if changed is None else changed)
    if name != manifest.MANIFEST:
        _list(folder)


def _list(folder: Path) -> None:
    listing = manifest.read_json(folder / manifest.MANIFEST)
    manifest.write_json(folder / manifest.MANIFEST, {**listing, "files": manifest.to_json(manifest.describe(folder))})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def requests(hub, start: str = "") -> list[str]:
    """The requests so far, as "METHOD /path"."""
    return [f"{method} {path}" for method, path, _ in hub.log if f"{method} {path}".startswith(start)]


def writes(hub) -> list[str]:
    """The requests that change something a user could see."""
    paths = ("/api/repos/", f"/api/models/{REPO}/commit/", f"/api/models/{REPO}/tag/")
    starts = tuple(f"{method} {path}" for method in ("POST", "PUT", "DELETE") for path in paths)
    return [request for request in requests(hub) if request.startswith(starts)]


def commits(hub) -> int:
    """How many there are, beside the one that every repository begins with."""
    return len(hub.store[REPO].commits) - 1


@functools.cache
def _built() -> Path:
    place = Path(tempfile.mkdtemp(prefix="publishable-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return tiny_release(place / "release")
