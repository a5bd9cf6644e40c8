"""Nodes for tests: a model without a network, a node in a thread or in processes that are killed, and an Orthanc.

python tests/noded.py SETTINGS    runs a node again and again in forks of one process; see `lives` and `every_step`
"""

import hashlib
import importlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pydicom
import standin
from dicoms import radiograph

from zoo.data.images.limits import Limits
from zoo.dicom import Wanted, algorithm_of, source_of
from zoo.inference.predictor import Predictor
from zoo.node import running
from zoo.node.archive import Archive
from zoo.node.receiving import Receiver
from zoo.node.sending import Pacs
from zoo.node.settings import Peer, Settings
from zoo.node.spool import Spool

ROOT = Path(__file__).parents[1]
PLUGIN = next(
    (p for p in (Path("/usr/share/orthanc/plugins", "libOrthancDicomWeb.so"), Path("/usr/lib/orthanc")) if p.is_file()),
    None,
)
ORTHANC = shutil.which("Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
ALL = Wanted(heatmaps="all")


class Stub(Predictor):
    """The stand-in, with heatmaps that are noise."""

    def explain(self, image: Any, *arguments: Any, **options: Any) -> Any:
        header = source_of(image)
        values = np.random.default_rng(0).random((int(header.Rows), int(header.Columns)))
        return SimpleNamespace(heatmap=values, overlay=lambda: None)


def stub(limits: Limits | None = None) -> Predictor:
    plain = standin.predictor()
    plain.runtime.name = "keras"
    return Stub(plain.runtime, plain.spec, plain.decision, manifest_sha256="5" * 64, limits=limits or Limits())


class Kept:
    """An archive in memory: what was sent, by name, and what is to go wrong."""

    def __init__(self, *errors: Exception) -> None:
        self.sent: list[tuple[str, bytes]] = []
        self.errors = list(errors)

    def send(self, results: Any, confirmed: Callable[[Path], None]) -> None:
        if self.errors:
            raise self.errors.pop(0)
        for result in results:
            self.sent.append((result.name, result.read_bytes()))
            confirmed(result)


@contextmanager
def node(
    spool: Path, archive: Archive, predictor: Predictor | None = None, source: Any = None, **settings: Any
) -> Iterator[SimpleNamespace]:
    """A node in a thread: its port, its spool and its receiver."""
    chosen = Settings(**{"port": 0, "quiet": 0.3, "retry": 0.05, **settings})
    predictor, stop = predictor or stub(), threading.Event()
    model = algorithm_of(predictor).uid("node")
    with (
        Spool(spool, chosen.spool_bytes, chosen.spool_objects, model).opened() as opened,
        Receiver(opened, chosen, predictor.limits) as receiver,
    ):
        made = running.Node(opened, predictor, archive, chosen, ALL, source(opened) if source else None)
        thread = threading.Thread(target=made.run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield SimpleNamespace(port=receiver.port, spool=opened, receiver=receiver, node=made)
        finally:
            stop.set()
            thread.join(60)
            assert not thread.is_alive()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def dcmtk(
    tool: str, port: int, *arguments: Any, calling: str = "TESTS", called: str = "ZOO", before: Sequence[Any] = ()
) -> Any:
    """Runs storescu, echoscu or findscu, with `before` before the address; returns status and what it says."""
    command = [tool, "-v", "-aet", calling, "-aec", called, *map(str, before), "127.0.0.1", str(port)]
    command += map(str, arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return SimpleNamespace(status=done.returncode, told=done.stdout + done.stderr)


def until(true: Callable[[], Any], seconds: float = 60) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


class Orthanc:
    """A running Orthanc.

    Attributes:
        port: Its DICOM port.
        http: A client of its REST interface.
    """

    def __init__(self, port: int, http: httpx.Client) -> None:
        self.port, self.http = port, http

    def modalities(self, study: str) -> list[str]:
        """The modality of each object of a study, sorted; none if there is no such study."""
        found = self.http.post("/tools/lookup", content=study).json()
        studies = [each["ID"] for each in found if each["Type"] == "Study"]
        if not studies:
            return []
        tags = self.http.get(f"/studies/{studies[0]}/instances-tags?simplify").json()
        return sorted(each["Modality"] for each in tags.values())


@contextmanager
def orthanc(folder: Path, peer: int = 0, forward: bool = False) -> Iterator[Orthanc]:
    """An Orthanc of its own; `forward` sends each radiograph to the node at `peer` when it has come."""
    folder.mkdir()
    port, web = free_port(), free_port()
    script = folder / "forward.lua"
    script.write_text(
        "function OnStoredInstance(id, tags, metadata, origin)\n"
        '  if tags["Modality"] == "CR" or tags["Modality"] == "DX" then SendToModality(id, "zoo") end\nend\n'
    )
    configuration = {
        "StorageDirectory": str(folder / "storage"), "IndexDirectory": str(folder / "storage"),
        "DicomServerEnabled": True, "DicomAet": "ORTHANC", "DicomPort": port, "DicomCheckCalledAet": True,
        "HttpPort": web, "RemoteAccessAllowed": False, "AuthenticationEnabled": False, "DicomAlwaysAllowStore": True,
        "DicomModalities": {"zoo": ["ZOO", "127.0.0.1", peer or 1], "tests": ["TESTS", "127.0.0.1", 1]},
        "LuaScripts": [str(script)] if forward else [], "Plugins": [str(PLUGIN)] if PLUGIN else [],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False}, "SaveJobs": False,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([str(ORTHANC), str(folder / "orthanc.json")], stdout=log, stderr=log)
    client = httpx.Client(base_url=f"http://127.0.0.1:{web}", timeout=30, trust_env=False)
    try:

        def ready() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            try:
                return client.get("/system").status_code == 200
            except httpx.TransportError:
                return False

        until(ready, 60)
        yield Orthanc(port, client)
    finally:
        client.close()
        process.terminate()
        process.wait(30)


def lives(spool: Path, port: int, archive: int, kills: list[int]) -> subprocess.Popen:
    """A node in forks of one process: each is killed at the given number of steps on the disk, the last goes on."""
    asked = json.dumps({"spool": str(spool), "port": port, "archive": archive, "kills": kills})
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, __file__, asked]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def every_step(folder: Path) -> list[str]:
    """Takes an image, predicts, sends and finishes a study, killed at each step in turn; what is wrong afterwards."""
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    command = [sys.executable, __file__, json.dumps({"every": str(folder)})]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


class _Folder:
    """An archive that is a folder: a file for each object, and a line for each sending."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def send(self, results: Any, confirmed: Callable[[Path], None]) -> None:
        for result in results:
            content = result.read_bytes()
            name = str(pydicom.dcmread(result).SOPInstanceUID)
            (self._folder / f"{name}-{hashlib.sha256(content).hexdigest()}").write_bytes(content)
            confirmed(result)


def _whole_study(folder: Path) -> None:
    """One study from its first image to its end, or as much of it as is left."""
    with Spool(folder / "spool", model="m").opened() as spool:
        made = running.Node(spool, stub(), _Folder(folder / "archive"), Settings(), ALL)
        confirmed = folder / "confirmed"
        for number, modality in ((1, "CR"), (2, "CT")):
            if not (confirmed / str(number)).exists():
                values = np.random.default_rng(number).integers(0, 256, (40, 48))
                spool.take("1.2", f"1.2.{number}", radiograph(values, number=number, Modality=modality))
                (confirmed / str(number)).touch()
        spool._since = 0.0
        for job in spool.complete(0):
            made.advance(job)


def _every_step(folder: Path) -> None:
    for step in range(1, 200):
        place = folder / str(step)
        for name in ("archive", "confirmed"):
            (place / name).mkdir(parents=True)
        statuses = []
        for kill in (step, 0):
            child = os.fork()
            if not child:
                if kill:
                    _kill_at(kill)
                _whole_study(place)
                os._exit(0)
            statuses.append(os.waitpid(child, 0)[1])
        objects = sorted(pydicom.dcmread(path).Modality for path in (place / "archive").iterdir())
        counts = Spool(place / "spool").counts()
        print(os.WIFSIGNALED(statuses[0]), statuses[1], objects, counts, flush=True)
        if not os.WIFSIGNALED(statuses[0]):
            break


def _kill_at(number: int) -> None:
    """Makes this process kill itself before its step `number` on the disk: a rename, or a folder that is deleted."""
    count = 0

    def before(call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += not str(arguments[0]).endswith(".part")  # what a finished file leaves beside it changes nothing
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return counting

    for place, name in ((Path, "rename"), (Path, "replace"), (shutil, "rmtree")):
        setattr(place, name, before(getattr(place, name)))


def _life(asked: dict[str, Any], kill: int) -> None:
    if kill:
        _kill_at(kill)
    settings = Settings(port=asked["port"], quiet=0.3, retry=0.05)
    archive = Pacs(Peer("ORTHANC", "127.0.0.1", asked["archive"]))
    running.run(stub(), Path(asked["spool"]), archive, settings, ALL, lambda port: print("listens", flush=True))


def _main(asked: dict[str, Any]) -> None:
    for name in ("highdicom.pm", "highdicom.sr", "pynetdicom"):  # imported once, before the forks
        importlib.import_module(name)

    if "every" in asked:
        _every_step(Path(asked["every"]))
        return
    for kill in (*asked["kills"], 0):
        child = os.fork()
        if not child:
            _life(asked, kill)
            os._exit(0)
        if not kill:
            signal.signal(signal.SIGTERM, lambda *_, last=child: os.kill(last, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print("killed" if killed else f"ended {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    _main(json.loads(sys.argv[1]))
