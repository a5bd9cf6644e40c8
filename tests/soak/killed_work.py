"""What `kinds.kills` kills and `kinds.disks` leaves no room for: calls that go on where an earlier one ended.

Nothing at the top of this file starts a backend, so that each piece runs in a fork of a process that has imported all
of it and computed nothing.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from builders import tiny_release
from dicoms import radiograph
from noded import ALL, _Folder, stub
from PIL import Image
from publishable import REPO, publishable_release
from small_run import digest, make_recipe, make_table, split_of

from zoo.core.progress import Silent
from zoo.data import cache
from zoo.evaluation.statistics import ranking  # noqa: F401  (imported before the forks)
from zoo.export import exporting
from zoo.hub.publish import publish
from zoo.inference.load import load
from zoo.node import running
from zoo.node.settings import Settings
from zoo.node.spool import Spool
from zoo.release.read import read_release
from zoo.runs import embed, predict, probe
from zoo.training import averaging, fitting  # noqa: F401
from zoo.training.checkpoint import Checkpoints
from zoo.training.probes.spec import ProbeSpec
from zoo.training.recipe import Stage
from zoo.training.stages import train

#: What two runs of the same work may differ in.
_OWN = (".lock", ".log", "lock", "finished", "logs")


@dataclasses.dataclass(frozen=True)
class Work:
    """One kind of work.

    Attributes:
        run: Does it in a folder of its own, or the rest of it; takes that folder and the folder of what all share.
        result: What two runs must have in common, as JSON.
    """

    run: Callable[[Path, Path], None]
    result: Callable[[Path], Any]


def prepare(shared: Path) -> None:
    """Writes what all the work reads: radiographs, a release, and labels."""
    make_table(shared / "images").to_pickle(shared / "table.pickle")
    tiny_release(shared / "release")
    publishable_release(shared / "publishable")
    drawn = shared / "large"
    drawn.mkdir()
    rng = np.random.default_rng(0)
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (64, 80), dtype=np.uint8)).save(drawn / f"{i:03d}.png")
    (drawn / "007.png").write_bytes(b"no image")
    labels = pd.DataFrame((rng.random((60, 2)) < 0.5).astype(int), columns=["Atelectasis", "Edema"])
    labels.insert(0, "patient", [f"p{i // 2}" for i in range(60)])
    labels.insert(0, "image", [f"{i:03d}.png" for i in range(60)])
    labels.to_csv(drawn / "labels.csv", index=False)


def _train(members: str) -> Callable[[Path, Path], None]:
    stages = (
        Stage("stage1", 2, 12, 3e-3, weight_decay=1e-2, ema_momentum=0.7, early_stopping_patience=None, soup=2),
        Stage(
            "stage2",
            1,
            12,
            1e-3,
            unfreeze_top=6,
            early_stopping_patience=None,
            average_last=1,
            last_weights="last.weights.h5",
        ),
    )

    def run(folder: Path, shared: Path) -> None:
        recipe = make_recipe(
            members=1 if members == "joint" else 2, stages=stages, checkpoint_minutes=1e-9,
            precision="mixed_float16" if members == "joint" else "float32",
        )  # fmt: skip
        recipe = dataclasses.replace(recipe, members=members)
        table = pd.read_pickle(shared / "table.pickle")
        train(recipe, table, split_of(table, recipe), folder / "run")

    return run


def _trained(folder: Path) -> Any:
    run = folder / "run"
    found = digest(run)
    for place in sorted(run.glob("**/checkpoint")):
        snapshot = Checkpoints(place).load()
        assert snapshot is not None
        values = hashlib.sha256()
        for name, array in sorted(snapshot.arrays.items()):
            values.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
        found[place.relative_to(run).as_posix()] = values.hexdigest()
    left = [p.name for p in run.rglob("*") if p.name.endswith(".part") or "-epoch" in p.name]
    return found | {"left over": left}


def _cache(folder: Path, shared: Path) -> None:
    cache.SHARD_IMAGES = 3
    cache.cache_images(sorted((shared / "large").glob("*.png")), folder / "cache", 32, root=shared)


def _predict(kind: str) -> Callable[[Path, Path], None]:
    def run(folder: Path, shared: Path) -> None:
        predict.write_findings(
            load(shared / "release"), [shared / "large"], folder / f"findings.{kind}", Silent(), batch_size=2
        )

    return run


def _embed(folder: Path, shared: Path) -> None:
    model = load(shared / "release")
    embed.write_features(model, [shared / "large"], folder / "features.parquet", Silent(), batch_size=2)


def _probe(folder: Path, shared: Path) -> None:
    model, spec = load(shared / "release"), ProbeSpec(folds=3)
    out = folder / "mine"
    probe.probe(
        model, shared / "large", out, Silent(), spec=spec, name="mine", dataset="csv", data_name="drawn", crossed=False
    )


def _export(folder: Path, shared: Path) -> None:
    found = read_release(shared / "release")
    for kind in ("onnx", "openvino"):
        exporting.export(found, folder / kind, kind)
    load(shared / "release", runtime="onnx")  # makes a graph in the cache below ZOO_HOME


def _spool(folder: Path, shared: Path) -> None:
    """The node's part, its sender and its archive: what was confirmed is not sent again."""
    confirmed, archive = folder / "confirmed", folder / "archive"
    for place in (confirmed, archive):
        place.mkdir(parents=True, exist_ok=True)
    (folder / "spool").mkdir(exist_ok=True)
    if not (folder / "spool" / "secret").exists():
        (folder / "spool" / "secret").write_bytes(bytes(32))
    with Spool(folder / "spool", model="m").opened() as spool:
        node = running.Node(spool, stub(), _Folder(archive), Settings(), ALL)

        def sent(study: int) -> None:
            for number in range(2):
                mark = confirmed / f"{study}-{number}"
                if not mark.exists():
                    values = np.random.default_rng(10 * study + number).integers(0, 256, (40, 48))
                    content = radiograph(values, study=f"1.2.{study}", number=number + 1)
                    spool.take(f"1.2.{study}", f"1.2.{study}.{number}", content)
                    mark.touch()

        # The study that a kill cut in two first: without a quiet time its half would be a study.
        if (cut := sum((confirmed / f"{study}-1").exists() for study in range(8))) < 8:
            sent(cut)
        for study in range(8):
            sent(study)
            spool._since = 0.0
            for job in spool.complete(0):
                node.advance(job)


def _spooled(folder: Path) -> Any:
    spool = Spool(folder / "spool", model="m")
    names = sorted({path.name.partition("-")[0] for path in (folder / "archive").iterdir()})
    done = {path.name: json.loads(path.read_text()) for path in sorted((folder / "spool" / "done").iterdir())}
    return {"counts": spool.counts(), "objects": names, "done": done}


def files_of(folder: Path) -> Any:
    """Path -> hash of each file, without what belongs to one process."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.endswith(_OWN) for part in path.relative_to(folder).parts):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return found


def _publish(folder: Path, shared: Path) -> None:
    publish(shared / "publishable", REPO, tag="v1")


def _published(folder: Path) -> Any:
    """The files of the repository, its commits and its tag, as another client sees them; then it is deleted."""
    from huggingface_hub import HfApi

    api = HfApi()
    refs, commits = api.list_repo_refs(REPO), api.list_repo_commits(REPO)
    found = {
        "files": {f.path: f.blob_id for f in api.list_repo_tree(REPO, recursive=True)},
        "commits": len(commits),
        "tag is the newest commit": [tag.target_commit == refs.branches[0].target_commit for tag in refs.tags],
    }
    api.delete_repo(REPO)
    return found


WORK = {
    "train joint": Work(_train("joint"), _trained),
    "train separate": Work(_train("separate"), _trained),
    "train parallel": Work(_train("parallel"), _trained),
    "cache": Work(_cache, files_of),
    "predict csv": Work(_predict("csv"), files_of),
    "predict parquet": Work(_predict("parquet"), files_of),
    "embed": Work(_embed, files_of),
    "probe": Work(_probe, files_of),
    "export": Work(_export, files_of),
    "publish": Work(_publish, _published),
    "spool": Work(_spool, _spooled),
}
