"""DICOM over TLS, with dcmtk's storescu and storescp: what is encrypted, who is refused, and the limits there."""

import shutil
import socket
import ssl
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs the extra node")
pytest.importorskip("pynetdicom", reason="needs the extra node")
pytest.importorskip("highdicom", reason="needs the extra node")

from dicoms import radiograph
from noded import Kept, dcmtk, free_port, node, stub, until
from pydicom import dcmread
from pynetdicom import AE, evt

from zoo.cli import main
from zoo.core.errors import UsageError
from zoo.data.images.limits import Limits
from zoo.node.archive import UnreachableError
from zoo.node.sending import Pacs
from zoo.node.settings import Peer
from zoo.node.tls import Tls

CR, EXPLICIT = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.2.1"
needs_dcmtk = pytest.mark.skipif(shutil.which("storescu") is None, reason="needs storescu (Debian's dcmtk)")


def certificate(folder, name, host="IP:127.0.0.1", passphrase=()):
    """A certificate that is its own authority, and its key."""
    paths = SimpleNamespace(certificate=folder / f"{name}.pem", key=folder / f"{name}.key")
    command = [
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"),
        *("-keyout", paths.key, "-out", paths.certificate, "-subj", f"/CN={name}", "-addext", f"subjectAltName={host}"),
        *(passphrase or ["-nodes"]),
    ]
    subprocess.run(command, check=True, capture_output=True)
    return paths


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """Identities of the node, of one sender or archive, of a stranger, and of an archive at another host."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make certificates")
    folder = tmp_path_factory.mktemp("certificates")
    names = {name: certificate(folder, name) for name in ("node", "pacs", "stranger")}
    return SimpleNamespace(**names, elsewhere=certificate(folder, "elsewhere", "DNS:elsewhere.example"), folder=folder)


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "1.dcm"
    path.write_bytes(radiograph(np.random.default_rng(0).integers(0, 256, (40, 48)), study="1.2.3"))
    return path


def receives(known, senders=None):
    return Tls(known.node.certificate, known.node.key, senders)


def client(known, own=None, newest=ssl.TLSVersion.MAXIMUM_SUPPORTED):
    context = ssl.create_default_context(cafile=known.node.certificate)
    context.minimum_version, context.maximum_version = ssl.TLSVersion.MINIMUM_SUPPORTED, newest
    context.set_ciphers("ALL:@SECLEVEL=0")
    if own:
        context.load_cert_chain(own.certificate, own.key)
    return context


def store(port, context, *paths):
    """Status of each object; None without an association."""
    ae = AE(ae_title="TESTS")
    ae.add_requested_context(CR, EXPLICIT)
    association = ae.associate("127.0.0.1", port, ae_title="ZOO", tls_args=context and (context, "127.0.0.1"))
    if not association.is_established:
        return None
    statuses = [association.send_c_store(dcmread(path)).get("Status") for path in paths]
    association.release()
    return statuses


def test_images_come_over_tls_and_not_without(tmp_path, known, film, caplog):
    kept = Kept()
    with node(tmp_path / "spool", kept, tls=receives(known)) as running:
        assert store(running.port, None, film) is None
        assert store(running.port, client(known), film) == [0]
        until(lambda: running.spool.counts()["done"])
    assert running.receiver.counts == {"new": 1, "connections refused: TLS": 1}
    assert "a connection was refused: TLS: wrong version number" in caplog.text
    assert len(kept.sent) == 2


@pytest.mark.parametrize(
    ("version", "spoken"),
    [(ssl.TLSVersion.TLSv1_1, False), (ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, True)],
)
def test_versions_before_tls_1_2_are_refused(tmp_path, known, film, version, spoken):
    with node(tmp_path / "spool", Kept(), tls=receives(known), quiet=60) as running:
        assert store(running.port, client(known, newest=version), film) == ([0] if spoken else None)


def test_senders_without_a_certificate_of_those_trusted_are_refused(tmp_path, known, film, caplog):
    with node(tmp_path / "spool", Kept(), tls=receives(known, known.pacs.certificate), quiet=60) as running:
        assert store(running.port, client(known), film) is None
        assert store(running.port, client(known, known.stranger), film) is None
        assert store(running.port, client(known, known.pacs), film) == [0]
    assert running.receiver.counts == {"new": 1, "connections refused: TLS": 2}
    assert "TLS: peer did not return a certificate" in caplog.text
    assert "TLS: self-signed certificate" in caplog.text


def test_the_limit_on_bytes_holds_over_tls(tmp_path, known, film):
    large = tmp_path / "large.dcm"
    large.write_bytes(radiograph(np.zeros((2000, 2000)), number=2))
    with node(tmp_path / "spool", Kept(), stub(Limits(bytes=100_000)), tls=receives(known), quiet=60) as running:
        assert store(running.port, client(known), large) == [None]
        until(lambda: running.receiver.counts["cut off: larger than the limit"] == 1)
        assert store(running.port, client(known), film) == [0]


def test_connections_that_say_nothing_or_half_keep_out_nobody(tmp_path, known, film, monkeypatch):
    monkeypatch.setattr("zoo.node.receiving._FIRST", 2)
    monkeypatch.setattr("zoo.node.receiving._IDLE", 2)
    with node(tmp_path / "spool", Kept(), tls=receives(known), quiet=60) as running:
        silent, half = (socket.create_connection(("127.0.0.1", running.port)) for _ in range(2))
        half.sendall(b"\x16\x03\x01\x02\x00")  # the head of a handshake
        assert store(running.port, client(known), film) == [0]
        until(lambda: not running.receiver._server.ae.active_associations)  # both are given up
        silent.close()
        half.close()


@needs_dcmtk
def test_storescu_sends_over_tls_with_a_certificate(tmp_path, known, film):
    with node(tmp_path / "spool", Kept(), tls=receives(known, known.pacs.certificate), quiet=60) as running:
        sent = dcmtk(
            "storescu", running.port, film,
            before=("+tls", known.pacs.key, known.pacs.certificate, "+cf", known.node.certificate),
        )  # fmt: skip
        assert sent.status == 0, sent.told
        assert dcmtk("storescu", running.port, film).status != 0
    assert running.receiver.counts == {"new": 1, "connections refused: TLS": 1}


def archive(identity):
    """An archive of pynetdicom, which takes CR images and demands no certificate."""
    ae, got = AE(ae_title="ARCHIVE"), []
    ae.add_supported_context(CR)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(identity.certificate, identity.key)
    took = [(evt.EVT_C_STORE, lambda event: got.append(event.request.AffectedSOPInstanceUID) or 0)]
    return ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=took, ssl_context=context), got


@pytest.mark.parametrize(
    ("identity", "why"),
    [("pacs", ""), ("stranger", "self-signed certificate"), ("elsewhere", "IP address mismatch")],
)
def test_results_are_sent_to_an_archive_that_shows_its_certificate(known, film, identity, why):
    shown = getattr(known, identity)
    trusted = known.pacs if identity == "stranger" else shown
    server, got = archive(shown)
    pacs = Pacs(Peer("ARCHIVE", "127.0.0.1", server.server_address[1]), tls=Tls(archive=trusted.certificate))
    confirmed = []
    try:
        if why:
            with pytest.raises(UnreachableError, match=f"ARCHIVE cannot be reached: TLS: .*{why}"):
                pacs.send([film], confirmed.append)
        else:
            pacs.send([film], confirmed.append)
    finally:
        server.shutdown()
    assert (len(got), confirmed) == ((0, []) if why else (1, [film]))


@needs_dcmtk
def test_storescp_demands_the_certificate_of_the_node(tmp_path, known, film):
    port, folder = free_port(), tmp_path / "got"
    folder.mkdir()
    command = ["storescp", "+tls", known.pacs.key, known.pacs.certificate, "+cf", known.node.certificate, "-rc"]
    server = subprocess.Popen([*command, "-od", folder, str(port)], stderr=subprocess.DEVNULL)
    confirmed = []
    try:
        peer = Peer("ARCHIVE", "127.0.0.1", port)
        until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        with pytest.raises(UnreachableError):
            Pacs(peer, tls=Tls(archive=known.pacs.certificate)).send([film], confirmed.append)
        Pacs(peer, tls=Tls(known.node.certificate, known.node.key, archive=known.pacs.certificate)).send(
            [film], confirmed.append
        )
    finally:
        server.kill()
        server.wait()
    assert confirmed == [film]
    assert len(list(folder.iterdir())) == 1


def test_files_that_are_no_certificates_are_told(known, tmp_path):
    locked = certificate(tmp_path, "locked", passphrase=("-passout", "pass:secret"))
    empty = tmp_path / "empty.pem"
    empty.touch()
    for tls, said in [
        (Tls(known.node.certificate, known.pacs.key), "no certificate with its private key in PEM"),
        (Tls(tmp_path / "none.pem", known.node.key), "none.pem cannot be read: no such file or directory"),
        (Tls(known.node.certificate, known.node.key, empty), "empty.pem has no certificates in PEM"),
        (Tls(locked.certificate, locked.key), "the private key has a passphrase"),
    ]:
        with pytest.raises(UsageError, match=said):
            tls.receiving()
    with pytest.raises(UsageError, match=r"empty\.pem has no certificates in PEM"):
        Tls(archive=empty).sending()
    assert Tls().receiving() is Tls().sending() is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--send-to", "A@b:1", "--tls-cert", "x"], "give both --tls-cert and --tls-key"),
        (["--send-to", "A@b:1", "--tls-senders", "x"], "give --tls-cert and --tls-key as well"),
        (["--send-to", "A@b:1", "--tls-archive", "nowhere.pem"], "nowhere.pem cannot be read"),
        (["--send-to", "A@b:1", "--tls-cert", "nowhere.pem", "--tls-key", "x"], "nowhere.pem cannot be read"),
        (["--dicomweb", "http://x", "--tls-archive", "x"], "--tls-archive: is for --send-to"),
    ],
)
def test_the_command_refuses_certificates_that_do_not_fit(options, said, capsys):
    assert main(["node", "nowhere", *options]) == 1
    assert said in capsys.readouterr().err
