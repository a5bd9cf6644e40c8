"""Kills workers, nodes and drivers of Ray at random while a list is scored, and compares with the single-process file.

    python tests/soak/ray_kills.py --images 20000 --kills 30 --work FOLDER

Needs the extras `ray` and `serve`. Three nodes of Ray's own cluster utility run on this machine, on loopback; only
processes that they started are killed. Everything is kept in FOLDER: the same command goes on after it was stopped.
The last line is JSON: what was killed, and whether all rows are equal.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent)]
#: Seconds within which a part has to be written: nodes that share few cores start their workers slowly.
_PATIENCE = 600


def make_images(folder: Path, count: int) -> None:
    """Small images of noise in folders of a thousand; every 97th is empty."""
    rng = np.random.default_rng(0)
    for i in range(count):
        path = folder / f"{i // 1000:04d}" / f"{i:06d}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(path)
        if i % 97 == 5:
            path.write_bytes(b"")


def drive(work: Path, address: str, workers: int, piece: int) -> None:
    """What `zoo predict --engine ray` does, in a process that may be killed."""
    from zoo.cluster.ray_engine import Workers, score_on_ray
    from zoo.core.progress import Silent
    from zoo.inference.load import load

    model = load(work / "release", runtime="onnx")
    how = {"workers": Workers(workers, cores=1, address=address), "piece": piece, "wide": True}
    score_on_ray(model, [work / "images"], work / "out", Silent(), **how)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--piece", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, default=Path("build/ray_kills"))
    parser.add_argument("--drive", help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = options.work.absolute()
    os.environ |= {"ZOO_HOME": str(work / "home"), "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE)])
    if options.drive:
        drive(work, options.drive, options.workers, options.piece)
        return 0
    return soak(options, work)


def soak(options: argparse.Namespace, work: Path) -> int:
    import ray
    from builders import tiny_release
    from ray.cluster_utils import Cluster

    from zoo.core.progress import Silent
    from zoo.inference.load import load
    from zoo.runs.merge import merge
    from zoo.runs.predict import write_findings

    work.mkdir(parents=True, exist_ok=True)
    make_images(work / "images", options.images)
    if not (work / "release").exists():
        tiny_release(work / "release", members=1)
    model = load(work / "release", runtime="onnx")
    start = time.time()
    write_findings(model, [work / "images"], work / "whole.csv", Silent(), wide=True)
    alone = time.time() - start
    print(f"one process: {options.images:,} images in {alone:.0f} s", flush=True)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(3)]
    start = time.time()
    try:
        killed = _kill_while_scoring(options, work, cluster, nodes)
    finally:
        ray.shutdown()
        cluster.shutdown()
    merge([work / "out"], work / "merged.csv", Silent())
    equal = (work / "merged.csv").read_bytes() == (work / "whole.csv").read_bytes()
    rows = (work / "merged.csv").read_bytes().count(b"\n") - 1
    facts = {"images": options.images, "killed": killed, "rows": rows, "equal": equal, "ray": ray.__version__}
    print(json.dumps(facts | {"seconds": round(time.time() - start)}), flush=True)
    return 0 if equal else 1


def _kill_while_scoring(options: argparse.Namespace, work: Path, cluster, nodes: list) -> dict[str, int]:
    """Scores until the marker of success is there; kills something whenever a further share of the parts is written."""
    chance = random.Random(options.seed)
    killed = {"worker": 0, "node": 0, "driver": 0}
    total = -(-options.images // (options.piece // 16 * 16))
    marks = sorted(chance.sample(range(total), min(options.kills, total)))
    driver, last = None, time.time()
    while not (work / "out" / "_SUCCESS").exists():
        if driver is None or driver.poll() is not None:
            if driver is not None and driver.returncode > 0:
                raise SystemExit(f"the driver ended with {driver.returncode}: see {work}/driver.log")
            driver = _driver(options, work, cluster.address)
            last = time.time()
        time.sleep(0.2)
        written = len(list((work / "out").glob("part-*.parquet"))) if (work / "out").exists() else 0
        if marks and written > marks[0]:
            kind = chance.choices(("worker", "node", "driver"), (6, 2, 2))[0]
            if _kill(kind, chance, cluster, nodes, driver):
                killed[kind] += 1
                marks.pop(0)
                last = time.time()
                print(f"killed a {kind} at {written} of {total} parts", flush=True)
        elif time.time() - last > _PATIENCE:
            raise SystemExit(f"nothing was written for {_PATIENCE} s: see {work}/driver.log")
    if driver is not None:
        driver.wait()
    return killed


def _driver(options: argparse.Namespace, work: Path, address: str) -> subprocess.Popen:
    same = ["--workers", str(options.workers), "--piece", str(options.piece), "--work", str(work)]
    with (work / "driver.log").open("ab") as log:
        return subprocess.Popen([sys.executable, __file__, "--drive", address, *same], stdout=log, stderr=log)


def _kill(kind: str, chance: random.Random, cluster, nodes: list, driver: subprocess.Popen) -> bool:
    """Kills one; False if there is none at this moment."""
    if kind == "driver":
        driver.kill()
        driver.wait()
        return True
    if kind == "node":
        node = nodes.pop(chance.randrange(len(nodes)))
        # Not `Cluster.remove_node`, which tells the head first: a machine without power tells nobody.
        node.kill_all_processes(check_alive=False, allow_graceful=False)
        cluster.worker_nodes.discard(node)
        nodes.append(cluster.add_node(num_cpus=1))
        return True
    workers = _workers()
    if not workers:
        return False
    os.kill(chance.choice(workers), signal.SIGKILL)
    return True


def _workers() -> list[int]:
    """The processes below this one that hold a model."""
    found = []
    for process in _below(os.getpid()):
        name = Path(f"/proc/{process}/cmdline")
        if name.exists() and b"ScorePieces" in name.read_bytes():
            found.append(process)
    return found


def _below(parent: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(parent).children(recursive=True)]


if __name__ == "__main__":
    sys.exit(main())
