"""Results to an archive by C-STORE: what its answers mean; and the whole command, with storescp of dcmtk."""

import os
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra node")
pytest.importorskip("pynetdicom", reason="needs the extra node")
pytest.importorskip("highdicom", reason="needs the extra node")

from builders import tiny_release  # noqa: E402
from dicoms import radiograph  # noqa: E402
from noded import ROOT, dcmtk, free_port, until  # noqa: E402
from pynetdicom import AE, evt  # noqa: E402

from zoo.node.archive import RefusedError, UnreachableError  # noqa: E402
from zoo.node.sending import Pacs  # noqa: E402
from zoo.node.settings import Peer  # noqa: E402

pytestmark = pytest.mark.tensorflow_only  # nothing here depends on the backend
CR, DX = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.5.1.4.1.1.1.1"


def film(number=1, **tags):
    return radiograph(np.random.default_rng(number).integers(0, 256, (48, 40)), number=number, **tags)


@contextmanager
def archive(*statuses, called="ARCHIVE"):
    """An archive that takes CR images and answers with these statuses, one after the other."""
    left, ae = list(statuses), AE(ae_title="ARCHIVE")
    ae.require_called_aet = True
    ae.add_supported_context(CR)
    handlers = [(evt.EVT_C_STORE, lambda event: left.pop(0))]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    try:
        yield Pacs(Peer(called, "127.0.0.1", server.server_address[1]))
    finally:
        server.shutdown()


@pytest.fixture
def pair(tmp_path):
    paths = [tmp_path / "0.dcm", tmp_path / "1.dcm"]
    for number, path in enumerate(paths, 1):
        path.write_bytes(film(number))
    return paths


def test_success_and_warnings_are_stored(pair):
    confirmed = []
    with archive(0x0000, 0xB000) as pacs:
        pacs.send(pair, confirmed.append)
    assert confirmed == pair


def test_a_refused_object_does_not_stop_the_others(pair):
    confirmed = []
    with archive(0xC123, 0x0000) as pacs, pytest.raises(RefusedError) as told:
        pacs.send(pair, confirmed.append)
    assert confirmed == pair[1:]
    assert str(told.value) == "ARCHIVE refused Computed Radiography Image Storage with status 0xC123"


def test_an_archive_without_room_is_tried_again(pair):
    confirmed = []
    with archive(0x0000, 0xA700) as pacs, pytest.raises(UnreachableError, match="out of resources"):
        pacs.send(pair, confirmed.append)
    assert confirmed == pair[:1]


def test_a_class_that_is_not_accepted_is_refused_by_name(tmp_path, pair):
    confirmed = []
    (tmp_path / "2.dcm").write_bytes(film(3, SOPClassUID=DX))
    with archive(0x0000) as pacs, pytest.raises(RefusedError, match="does not accept Digital X-Ray"):
        pacs.send([tmp_path / "2.dcm", pair[0]], confirmed.append)
    assert confirmed == pair[:1]


def test_an_archive_that_is_away_or_rejects_is_tried_again(pair):
    with pytest.raises(UnreachableError, match="ARCHIVE cannot be reached"):
        Pacs(Peer("ARCHIVE", "127.0.0.1", free_port())).send(pair, print)
    with archive(called="OTHER") as pacs, pytest.raises(UnreachableError, match="OTHER rejected the association"):
        pacs.send(pair, print)


@pytest.mark.skipif(shutil.which("storescp") is None, reason="needs storescp (Debian's dcmtk)")
def test_the_command_takes_predicts_sends_and_ends_on_sigterm(tmp_path):
    release = tiny_release(tmp_path / "release", members=1)
    (tmp_path / "got").mkdir()
    (tmp_path / "1.dcm").write_bytes(film())
    port, port_of_archive = free_port(), free_port()
    receiver = subprocess.Popen(["storescp", "-aet", "ARCHIVE", "-od", str(tmp_path / "got"), str(port_of_archive)])
    command = [
        *(sys.executable, "-m", "zoo.cli", "node", str(release), "--port", str(port), "--quiet-time", "0.5"),
        *("--send-to", f"ARCHIVE@127.0.0.1:{port_of_archive}", "--heatmaps", "all", "--backend", "tensorflow"),
    ]
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "ZOO_HOME": str(tmp_path / "home")}
    node = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = []
    reader = threading.Thread(target=lambda: lines.extend(node.stdout), daemon=True)
    reader.start()
    try:
        until(lambda: any("takes images" in line for line in lines) or node.poll() is not None, 120)
        stored = dcmtk("storescu", port, tmp_path / "1.dcm")
        assert stored.status == 0, [stored.told, *lines]
        until(lambda: any(line.rstrip().endswith(": done") for line in lines), 120)
        node.terminate()
        assert node.wait(30) == 0, lines
        reader.join(10)
    finally:
        node.kill()
        receiver.kill()
        node.wait()
        receiver.wait()
    got = sorted(pydicom.dcmread(path).Modality for path in (tmp_path / "got").iterdir())
    assert got == ["OT", "SR"]
    told = "".join(lines)
    assert "stopped; studies done: 1, kept for the next start: 0; images aside: 0" in told
    assert "objects received: new: 1" in told
    for secret in ("SECRET", "Secret", "1.2.826"):
        assert secret not in told
    assert (tmp_path / "home" / "node" / "ZOO" / "done").is_dir()
