"""A node beside a real Orthanc: images forwarded, results found under the same study, ten kills, DICOMweb."""

import re
import shutil
import signal
import threading

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom", reason="needs the extra node")
pytest.importorskip("pynetdicom", reason="needs the extra node")
pytest.importorskip("highdicom", reason="needs the extra node")

from dicoms import radiograph  # noqa: E402
from noded import ORTHANC, PLUGIN, Kept, dcmtk, free_port, lives, node, orthanc, until  # noqa: E402

from zoo.node.dicomweb import Poller, WebServer  # noqa: E402
from zoo.node.sending import Pacs  # noqa: E402
from zoo.node.settings import Peer  # noqa: E402

pytestmark = [
    pytest.mark.tensorflow_only,  # nothing here depends on the backend
    pytest.mark.skipif(ORTHANC is None, reason="needs Orthanc (Debian's orthanc)"),
    pytest.mark.skipif(shutil.which("storescu") is None, reason="needs storescu (Debian's dcmtk)"),
]
needs_plugin = pytest.mark.skipif(PLUGIN is None, reason="needs Orthanc's DICOMweb plugin (Debian's orthanc-dicomweb)")

#: Steps on the disk at which ten processes are killed: while objects are taken, predicted, sent, done.
KILLS = [1, 3, 5, 4, 9, 6, 11, 8, 7, 13]


def files(folder, studies, images=2):
    """Images of some studies on the disk."""
    for study in studies:
        for number in range(1, images + 1):
            values = np.random.default_rng(number).integers(0, 256, (40, 48))
            path = folder / f"{study}-{number}.dcm"
            path.write_bytes(radiograph(values, study=study, number=number, StudyDate=today()))
            yield path


def today():
    from datetime import date

    return f"{date.today():%Y%m%d}"


def test_an_image_that_orthanc_forwards_has_report_and_map_beside_it(tmp_path):
    (file,) = files(tmp_path, ["1.2.40"], 1)
    port = free_port()
    with orthanc(tmp_path / "orthanc", port, forward=True) as pacs:
        archive = Pacs(Peer("ORTHANC", "127.0.0.1", pacs.port))
        with node(tmp_path / "spool", archive, port=port) as running:
            stored = dcmtk("storescu", pacs.port, file, called="ORTHANC")
            assert stored.status == 0, stored.told
            until(lambda: running.spool.counts()["done"])
        assert pacs.modalities("1.2.40") == ["CR", "OT", "SR"]
        level = ("-S", "-k", "QueryRetrieveLevel=SERIES", "-k", "StudyInstanceUID=1.2.40", "-k", "Modality=SR")
        found = dcmtk("findscu", pacs.port, *level, "-k", "SeriesInstanceUID", called="ORTHANC")
        assert found.status == 0
        assert len(re.findall(r"CS \[SR", found.told)) >= 1, found.told


def test_ten_kills_on_the_way_lose_and_double_nothing(tmp_path):
    studies = [f"1.2.5{n}" for n in range(8)]
    sent = list(files(tmp_path, studies, 1))
    port = free_port()
    with orthanc(tmp_path / "orthanc") as pacs:
        process = lives(tmp_path / "spool", port, pacs.port, KILLS)
        lines = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout), daemon=True)
        reader.start()
        try:
            for file in sent:  # as a modality does: each until it is confirmed
                assert dcmtk("storescu", pacs.port, file, called="ORTHANC").status == 0
                until(lambda file=file: dcmtk("storescu", port, file).status == 0, 120)
            expected = ["CR", "OT", "SR"]
            until(lambda: all(len(pacs.modalities(study)) >= len(expected) for study in studies), 120)
            until(lambda: not any((tmp_path / "spool" / "waiting").iterdir()), 60)
            assert [pacs.modalities(study) for study in studies] == [expected] * len(studies)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
            reader.join(10)
        told = [line.strip() for line in lines]
        assert told.count("killed") == len(KILLS), told
        assert told[-1] == "ended 0", told
        spool = tmp_path / "spool"
        assert len(list((spool / "done").glob("*.json"))) == len(studies)
        left = [p for place in ("receiving", "waiting", "aside", "removing") for p in (spool / place).rglob("*.dcm")]
        assert left == []


@needs_plugin
def test_studies_are_fetched_and_results_stored_by_dicomweb(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    sent = list(files(tmp_path, ["1.2.60", "1.2.61"]))
    with orthanc(tmp_path / "orthanc") as pacs:
        server = WebServer(f"{pacs.http.base_url}/dicom-web", "a-token")
        assert dcmtk("storescu", pacs.port, *sent, called="ORTHANC").status == 0

        def poller(spool):
            return Poller(server, spool, quiet=0.5, every=0.3)

        with node(tmp_path / "spool", server, source=poller) as running:
            until(lambda: running.spool.counts()["done"] == 2)
            assert pacs.modalities("1.2.60") == ["CR", "CR", "OT", "OT", "SR"]
            assert pacs.modalities("1.2.61") == ["CR", "CR", "OT", "OT", "SR"]
        kept = Kept()
        with node(tmp_path / "spool", kept, source=poller) as running:  # after a restart nothing is fetched again
            (late,) = files(tmp_path, ["1.2.62"], 1)
            assert dcmtk("storescu", pacs.port, late, called="ORTHANC").status == 0
            until(lambda: running.spool.counts()["done"] == 3)
        assert len(kept.sent) == 2
