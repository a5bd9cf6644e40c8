"""No identifier of a DICOM header is printed, logged, cached or written by a command that was not asked for it."""

import hashlib
import logging

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs the extra dicom")

from builders import FINDINGS3, tiny_release
from dicoms import radiograph

from zoo.cli import main
from zoo.core.progress import Silent, tell_warnings
from zoo.data.images.dicom_header import read_facts

UID = "1.2.826.0.1.7"
SECRETS = ("SECRET", "Secret", "secret", UID, "19700102", "20260102")


def film(number, **tags):
    values = np.random.default_rng(number // 2).integers(0, 256, (40, 48))  # two and two are copies
    own = {
        "PatientID": f"SECRET-{number // 2}",
        "InstitutionName": "Secret Hospital",
        "SpecificCharacterSet": "SECRETS",
    }
    return radiograph(values, study=f"{UID}.{number // 2}", number=number, **(own | tags))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """12 DICOM images of 6 patients with labels, one of which is damaged; without names of patients in the table."""
    folder = tmp_path_factory.mktemp("data")
    table = [",".join(["Image_name", *FINDINGS3])]
    for number in range(12):
        (folder / f"{number}.dcm").write_bytes(film(number))
        table.append(f"{number}.dcm,{number % 2},{number // 2 % 2},{number // 4 % 2}")
    (folder / "11.dcm").write_bytes(film(11, Rows=4000))
    (folder / "labels.csv").write_text("\n".join(table) + "\n")
    return folder


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("release") / "tiny", members=1)


@pytest.mark.parametrize(
    "command",
    [
        "predict DATA --model MODEL --out OUT/a.csv --wide --ids hash",
        "predict DATA --model MODEL --out OUT/a.csv --by study --ids hash",
        "predict DATA --model MODEL --out OUT/a.csv --strict",
        "predict DATA --model MODEL --dicom-out REPORTS --heatmaps none",
        "embed MODEL DATA --out OUT/a.csv --ids hash",
        "submit DATA --model MODEL --out OUT/a.csv --by study --studies header",
        "data DATA --header-facts --dataset csv",
        "cache DATA --out OUT/cache --size 32 --dataset csv",
        "audit --data DATA --out OUT/audit --header-facts --dataset csv --predictions SCORES",
        "evaluate MODEL --data DATA --out OUT/evaluation --by study --header-facts --dataset csv",
        "gate MODEL --data DATA --out OUT/gated --header-facts --dataset csv",
    ],
)
def test_nothing_of_a_header_leaves_a_command(command, data, release, tmp_path, zoo_home, capfd, caplog):
    (tmp_path / "OUT").mkdir()
    places = {"DATA": data, "MODEL": release, "OUT": tmp_path / "OUT", "REPORTS": tmp_path / "reports"}
    places["SCORES"] = tmp_path / "scores.csv"
    rows = [f"{number}.dcm,{0.95 if number == 2 else number % 2 or 0.1},0.5,0.5" for number in range(12)]
    places["SCORES"].write_text("\n".join([",".join(["Image_name", *FINDINGS3]), *rows]) + "\n")
    words = command.split()
    arguments = [
        word.replace(name, str(places[name])) if (name := word.split("/")[0]) in places else word for word in words
    ]
    with caplog.at_level(logging.DEBUG):
        status = main(arguments)
    told = capfd.readouterr()
    refused = "--strict" in command or words[0] == "gate"  # too few patients
    assert status == int(refused), told.err
    texts = {"standard output": told.out, "standard error": told.err}
    texts["log"] = "\n".join(record.getMessage() for record in caplog.records if record.name.split(".")[0] != "pydicom")
    for root in (tmp_path / "OUT", zoo_home):
        for path in root.rglob("*"):
            texts[str(path)] = str(path.name) + (path.read_bytes().decode("latin-1") if path.is_file() else "")
    found = {where: secret for where, text in texts.items() for secret in SECRETS if secret in text}
    assert not found, found


@pytest.mark.parametrize("command", ["predict IMAGE --model MODEL", "embed MODEL IMAGE"])
def test_identifiers_are_written_where_they_are_asked_for(command, data, release, tmp_path):
    image, named = data / "0.dcm", {}
    arguments = [{"IMAGE": str(image), "MODEL": str(release)}.get(word, word) for word in command.split()]
    for ids in ("file", "uid", "hash"):
        assert main([*arguments, "--out", str(tmp_path / f"{ids}.csv"), "--ids", ids]) == 0
        named[ids] = (tmp_path / f"{ids}.csv").read_text().splitlines()[1].split(",")[0]
    uid = f"{UID}.0.2.0"
    assert named == {"file": str(image), "uid": uid, "hash": hashlib.sha256(uid.encode()).hexdigest()[:32]}


def test_warnings_of_pydicom_enter_no_note_of_a_report(data):
    with tell_warnings(Silent()) as texts:
        read_facts(data / "0.dcm")
    assert texts == []
