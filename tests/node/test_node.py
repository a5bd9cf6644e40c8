"""A node on loopback, with dcmtk's storescu and echoscu: what is taken, refused, predicted, sent and kept aside."""

import io
import logging
import select
import shutil
import socket
import struct
import threading
import warnings

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra node")
pytest.importorskip("pynetdicom", reason="needs the extra node")
pytest.importorskip("highdicom", reason="needs the extra node")

from dicoms import dicom, radiograph  # noqa: E402
from noded import Kept, dcmtk, every_step, node, stub, until  # noqa: E402
from pynetdicom import AE, evt  # noqa: E402

from zoo.cli import main  # noqa: E402
from zoo.cli.serving import log_lines  # noqa: E402
from zoo.core.errors import UsageError  # noqa: E402
from zoo.data.images.dicom_meta import prepare_pydicom  # noqa: E402
from zoo.data.images.limits import Limits  # noqa: E402
from zoo.node.archive import RefusedError, UnreachableError  # noqa: E402
from zoo.node.settings import Peer, Settings, check_web  # noqa: E402

pytestmark = pytest.mark.tensorflow_only  # nothing here depends on the backend
needs_dcmtk = pytest.mark.skipif(shutil.which("storescu") is None, reason="needs storescu (Debian's dcmtk)")


def film(study="1.2.3", number=1, side=40, **tags):
    values = np.random.default_rng(number).integers(0, 256, (side, side + 8))
    return radiograph(values, study=study, number=number, **tags)


def sent(kept):
    return [pydicom.dcmread(io.BytesIO(content)) for _, content in kept.sent]


def store(port, *contents, calling="TESTS", called="ZOO"):
    """Status of each object, by pynetdicom; None where the association was not accepted."""
    ae = AE(ae_title=calling)
    ae.add_requested_context("1.2.840.10008.5.1.4.1.1.1", ["1.2.840.10008.1.2.1"])
    association = ae.associate("127.0.0.1", port, ae_title=called)
    if not association.is_established:
        return None
    datasets = [pydicom.dcmread(io.BytesIO(content)) for content in contents]
    statuses = [association.send_c_store(each).get("Status") for each in datasets]
    association.release()
    return statuses


@needs_dcmtk
def test_images_by_storescu_come_back_as_one_report_and_a_map_each(tmp_path):
    for number in (1, 2):
        (tmp_path / f"{number}.dcm").write_bytes(film(number=number))
    kept = Kept()
    with node(tmp_path / "spool", kept) as running:
        assert dcmtk("echoscu", running.port).status == 0
        told = dcmtk("storescu", running.port, tmp_path / "1.dcm", tmp_path / "2.dcm")
        assert told.status == 0, told.told
        until(lambda: running.spool.counts()["done"])
        again = dcmtk("storescu", running.port, tmp_path / "1.dcm")
        assert again.status == 0
        assert running.receiver.counts == {"new": 2, "done": 1}
    report, *maps = sent(kept)
    assert (report.Modality, report.StudyInstanceUID) == ("SR", "1.2.3")
    assert [one.SOPClassUID.name for one in maps] == ["Parametric Map Storage"] * 2
    assert {one.StudyInstanceUID for one in maps} == {"1.2.3"}
    assert running.spool.counts() == {"receiving": 0, "waiting": 0, "done": 1, "aside": 0}


@needs_dcmtk
def test_titles_that_are_not_on_the_list_are_rejected(tmp_path):
    (tmp_path / "1.dcm").write_bytes(film())
    with node(tmp_path / "spool", Kept(), allow=("PACS",)) as running:
        assert dcmtk("echoscu", running.port, calling="PACS").status == 0
        refused = dcmtk("storescu", running.port, tmp_path / "1.dcm")
        assert refused.status != 0
        assert "Calling AE Title Not Recognized" in refused.told
        other = dcmtk("echoscu", running.port, calling="PACS", called="OTHER")
        assert "Called AE Title Not Recognized" in other.told
        assert running.receiver.counts == {"associations rejected": 2}


def test_too_large_objects_and_a_full_spool_are_out_of_resources(tmp_path):
    small, large = film(side=40), film(number=2, side=80)
    predictor = stub(Limits(bytes=len(small) + 100))
    with node(tmp_path / "spool", Kept(), predictor, quiet=60, spool_objects=2) as running:
        assert store(running.port, large) == [0xA700]
        contents = [film(number=n) for n in (3, 4, 5)]
        assert store(running.port, *contents) == [0, 0, 0xA700]
        assert store(running.port, contents[0]) == [0]  # it is there
    assert running.receiver.counts == {"new": 2, "here": 1, "larger than the limit": 1, "the spool is full": 1}


def test_a_sender_far_beyond_the_limit_is_cut_off(tmp_path):
    predictor = stub(Limits(bytes=100_000))
    with node(tmp_path / "spool", Kept(), predictor) as running:
        assert store(running.port, film(side=2000)) == [None]
        assert store(running.port, film(side=40)) == [0]  # others are served
        with socket.create_connection(("127.0.0.1", running.port)) as sock:
            sock.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0))
            until(lambda: running.receiver.counts["cut off: larger than the limit"] == 2)


def test_associations_and_connections_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.node.receiving._FIRST", 4)

    def associate():
        ae = AE(ae_title="TESTS")
        ae.add_requested_context("1.2.840.10008.1.1")
        return ae.associate("127.0.0.1", running.port, ae_title="ZOO")

    with node(tmp_path / "spool", Kept(), associations=2) as running:
        held = [associate() for _ in range(3)]
        assert [one.is_established for one in held] == [True, True, False]
        assert held[0].send_c_echo().Status == 0
        for one in held[:2]:
            one.release()
        idle = [socket.create_connection(("127.0.0.1", running.port)) for _ in range(12)]
        # A connection that was refused has an end to read; the others wait to be spoken to.
        until(lambda: len(select.select(idle, [], [], 0)[0]) >= 4)
        for one in idle:
            one.close()
        until(lambda: store(running.port, film()) == [0])


def test_a_connection_that_ends_or_breaks_the_order_of_messages_frees_its_place(tmp_path, monkeypatch):
    printed = []
    monkeypatch.setattr(threading, "excepthook", printed.append)
    monkeypatch.setattr("zoo.node.receiving._FIRST", 3600)
    spoken = []
    with node(tmp_path / "spool", Kept(), associations=2) as running:
        ae = AE(ae_title="TESTS")
        ae.add_requested_context("1.2.840.10008.1.1")
        handlers = [(evt.EVT_DATA_SENT, lambda event: spoken.append(event.data))]
        ae.associate("127.0.0.1", running.port, ae_title="ZOO", evt_handlers=handlers).release()
        request, release = spoken
        until(lambda: not running.receiver._server.ae.active_associations)
        for said in (b"", b"GET / HTTP/1.1", request[:40], release, request + request, request[:74] + release) * 4:
            with socket.create_connection(("127.0.0.1", running.port)) as sock:
                sock.sendall(said)
            until(lambda: not running.receiver._server.ae.active_associations)
        until(lambda: store(running.port, film()) == [0])
    assert printed == []


def test_objects_that_cannot_be_attributed_are_refused(tmp_path):
    with node(tmp_path / "spool", Kept()) as running:
        assert store(running.port, dicom(np.zeros((40, 40)), 8)) == [0xC000]
        assert store(running.port, film(Manufacturer="xrayslam-zoo")) == [0]
    assert running.spool.counts() == {"receiving": 0, "waiting": 0, "done": 0, "aside": 0}


def test_unreadable_images_are_kept_aside_with_the_reason(tmp_path):
    kept = Kept()
    with node(tmp_path / "spool", kept) as running:
        cut_off = film("1.5", 4, Rows=400)  # more than it has pixels for
        films = (film("1.5", 1), film("1.5", 2, Modality="CT"), film("1.6", 3, Modality="MR"), cut_off)
        assert store(running.port, *films) == [0] * 4
        until(lambda: running.spool.counts() == {"receiving": 0, "waiting": 0, "done": 1, "aside": 3})
        reasons = sorted(path.read_text()[:30] for path in running.spool.aside.glob("*.txt"))
        assert reasons == [
            "a DICOM file of modality 'CT',", "a DICOM file of modality 'MR',", "a DICOM file that is damaged (",
        ]  # fmt: skip
    report, _ = sent(kept)
    texts = [item.TextValue for item in report.ContentSequence if item.ValueType == "TEXT"]
    assert any("2 of 3 images could not be read" in text for text in texts)


def test_an_archive_that_fails_is_tried_again_and_gets_the_same_objects(tmp_path):
    kept = Kept(UnreachableError("gone"), UnreachableError("gone"), RefusedError("refused"))
    with node(tmp_path / "spool", kept) as running:
        store(running.port, film())
        until(lambda: running.spool.counts()["done"])
    assert [name for name, _ in kept.sent] == ["000.dcm", "001.dcm"]


def test_what_an_archive_refuses_again_and_again_is_kept_aside(tmp_path):
    kept = Kept(*(RefusedError("refused with status 0xC000") for _ in range(2)))
    with node(tmp_path / "spool", kept, refusals=2) as running:
        store(running.port, film())
        until(lambda: running.spool.counts()["aside"])
        (reason,) = running.spool.aside.glob("*.txt")
        assert reason.read_text() == "refused with status 0xC000\n"
    assert kept.sent == []


def test_a_kill_before_any_step_on_the_disk_loses_and_doubles_nothing(tmp_path):
    """One study of a radiograph and a CT image: at each step in turn the process is killed, and the next goes on."""
    lines = every_step(tmp_path)
    ended = "0 ['OT', 'SR'] {'receiving': 0, 'waiting': 0, 'done': 1, 'aside': 1}"
    assert lines[:-1] == [f"True {ended}"] * (len(lines) - 1)
    assert lines[-1] == f"False {ended}"  # fewer steps than that
    assert len(lines) >= 15, lines


def test_a_fault_in_one_study_does_not_stop_the_others(tmp_path, caplog):
    predictor, kept = stub(), Kept()
    logits = predictor.runtime.logits

    def failing(pixels, full=0):
        if not kept.errors:
            kept.errors.append(UnreachableError("once"))
            raise RuntimeError("SECRET-ID")
        return logits(pixels, full)

    predictor.runtime.logits = failing
    with caplog.at_level(logging.INFO), node(tmp_path / "spool", kept, predictor) as running:
        store(running.port, film("1.5"))
        until(lambda: running.spool.counts()["aside"])
        store(running.port, film("1.6"))
        until(lambda: running.spool.counts()["done"])
    assert "a fault of this package: RuntimeError at" in caplog.text
    assert "SECRET" not in caplog.text
    assert "1.5" not in caplog.text


def test_a_warning_is_one_line_of_the_log_and_one_of_pydicom_none(caplog, monkeypatch):
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    with warnings.catch_warnings():
        log_lines(logging.INFO)
        prepare_pydicom()
        warnings.warn_explicit("burned-in text", UserWarning, "zoo.py", 1, module="zoo")
        warnings.warn_explicit("SECRET", UserWarning, "charset.py", 1, module="pydicom.charset")
    assert [record.getMessage() for record in caplog.records] == ["burned-in text"]


def test_logs_and_names_have_no_identifier(tmp_path, caplog):
    with caplog.at_level(logging.DEBUG), node(tmp_path / "spool", Kept()) as running:
        strange = film("1.2.826.8", 3, SpecificCharacterSet="SECRETS")  # of which pydicom logs the name
        store(running.port, film("1.2.826.7", 1), film("1.2.826.7", 2, Modality="CT"), strange)
        until(lambda: running.spool.counts()["done"])
    others = ("pynetdicom", "highdicom", "pydicom")  # kept out of the node's log, and not out of caplog
    assert not logging.getLogger("pydicom").propagate
    own = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith(others))
    assert "done" in own
    for secret in ("SECRET", "Secret", "1.2.826"):
        assert secret not in own
        assert not any(secret in str(path) for path in (tmp_path / "spool").rglob("*"))


@pytest.mark.parametrize("text", ["PACS", "PACS@host", "PACS@host:0", "@host:1", "A" * 17 + "@host:1", "PACS@host:x"])
def test_addresses_of_applications_are_checked(text):
    with pytest.raises(UsageError):
        Peer.parse(text)
    assert Peer.parse("A@[::1]:104") == Peer("A", "::1", 104)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_needs_a_list(host):
    with pytest.raises(UsageError, match="by --allow AET"):
        Settings(host=host)
    assert Settings(host=host, allow=("PACS",)).host == host
    assert Settings(host=host, insecure=True).host == host


def test_a_token_is_not_sent_unencrypted():
    with pytest.raises(UsageError, match="unencrypted"):
        check_web("http://pacs.local/dicom-web", "secret")
    check_web("https://pacs.local/dicom-web", "secret")
    check_web("http://pacs.local/dicom-web", "")
    with pytest.raises(UsageError, match="is written http"):
        check_web("pacs.local", "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "say where results go"),
        (["--send-to", "A@b:1", "--dicomweb", "http://x"], "say where results go"),
        (["--send-to", "A"], "AET@host:port"),
        (["--send-to", "A@b:1", "--host", "0.0.0.0"], "--allow"),
        (["--send-to", "A@b:1", "--aet", "A" * 17], "an AE title has"),
        (["--send-to", "A@b:1", "--poll", "5"], "--poll: is for --dicomweb"),
        (["--dicomweb", "http://x", "--port", "104"], "--port: is for --send-to"),
        (["--dicomweb", "http://x", "--allow", "PACS"], "--allow: is for --send-to"),
        (["--send-to", "A@b:1", "--heatmaps", "none", "--captures"], "--captures draws heatmaps"),
        (["--send-to", "A@b:1", "--quiet-time", "0"], "quiet has to be positive"),
    ],
)
def test_the_command_refuses_what_does_not_fit(options, said, capsys):
    assert main(["node", "nowhere", *options]) == 1
    assert said in capsys.readouterr().err
