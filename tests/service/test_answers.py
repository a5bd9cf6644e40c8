"""What an answer says: the numbers of `Predictor.findings`, null for what is unknown, names as they were uploaded."""

import io
import json

import numpy as np
import pytest
import standin
from builders import tiny_release
from dicoms import dicom
from PIL import Image
from served import form, png, serving

import zoo
from zoo.core.errors import UnknownNameError, UsageError
from zoo.gate.verdict import Verdict
from zoo.service.application import create_app
from zoo.service.settings import Settings

pytestmark = pytest.mark.tensorflow_only


def results(client, *contents, **options):
    answer = client.post("/predict", files=form(*contents, **options))
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


@pytest.mark.parametrize("point", [None, "max_f1", "sensitivity_90"])
def test_the_numbers_are_those_of_findings(point):
    contents = [png(i) for i in range(5)]
    table = standin.predictor().findings(contents, point=point)
    with serving(point=point) as client:
        found = results(client, *contents)
    rows = [finding for result in found for finding in result["findings"]]
    assert [row["finding"] for row in rows] == table["finding"].tolist()
    assert np.array_equal(np.array([row["probability"] for row in rows], np.float32), table["probability"])
    limit = 0.2 if point == "sensitivity_90" else 0.3
    assert [row["threshold"] for row in rows] == [limit, limit, None] * 5
    called = [None if row["threshold"] is None else row["probability"] >= row["threshold"] for row in rows]
    assert [row["positive"] for row in rows] == called
    assert called == table["positive"].astype(object).where(table["positive"].notna(), None).tolist()
    assert {True, False, None} == set(called)
    assert all(list(result) == ["file", "error", "quality", "findings"] for result in found)


@pytest.mark.parametrize("runtime", ["openvino", "onnx"])
def test_each_runtime_answers_with_its_own_numbers(runtime, tmp_path):
    predictor = zoo.load(tiny_release(tmp_path / "tiny", members=1), runtime=runtime)
    contents = [png(i) for i in range(20)]
    expected = predictor.predict(contents)
    with serving(predictor, batch=4) as client:
        found = results(client, *contents)
        assert client.get("/ready").json()["runtime"] == runtime
    own = np.array([[finding["probability"] for finding in result["findings"]] for result in found])
    np.testing.assert_allclose(own, expected, atol=1e-5)


def test_what_is_not_trained_is_null_and_never_nan():
    with serving(standin.predictor(trained=(True, False, True))) as client:
        answer = client.post("/predict", files=form(png(0)))
    findings = json.loads(answer.text, parse_constant=pytest.fail)["results"][0]["findings"]
    assert [finding["probability"] is None for finding in findings] == [False, True, False]
    assert findings[1]["positive"] is None


def test_logits_that_are_not_finite_are_an_error_of_the_image():
    predictor = standin.predictor()
    logits = predictor.runtime.logits
    predictor.runtime.logits = lambda pixels, full=0: np.where(pixels[:, 0, 0] > 128, np.nan, logits(pixels, full))
    bright, dark = np.random.default_rng(0).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    bright[:9, :9], dark[:9, :9] = 255, 0
    files = []
    for pixels in (bright, dark):
        files.append(io.BytesIO())
        Image.fromarray(pixels).save(files[-1], "PNG")
    with serving(predictor) as client:
        found = results(client, *[file.getvalue() for file in files])
    assert "a logit that is not finite" in found[0]["error"]
    assert found[0]["findings"] == []
    assert found[1]["error"] is None


def test_a_model_without_thresholds_gives_probabilities():
    predictor = standin.predictor()
    predictor.decision = None
    with serving(predictor) as client:
        findings = results(client, png(0))[0]["findings"]
    assert [finding["threshold"] for finding in findings] == [None] * 3
    assert [finding["positive"] for finding in findings] == [None] * 3
    assert all(0 <= finding["probability"] <= 1 for finding in findings)


def test_order_and_names_are_those_of_the_upload():
    """Names twice, odd ones; a bad file between good ones has a reason, and moves no other."""
    names = ("b.png", "a.png", "b.png", "empty", "ä ö.png", "../../etc/passwd", "x" * 300)
    contents = [png(i) for i in range(7)]
    contents[1] = b"%PDF-1.7"
    contents[3] = b""
    alone = standin.predictor().predict([content for i, content in enumerate(contents) if i not in (1, 3)])
    with serving() as client:
        parts = [("files", (name, content)) for name, content in zip(names, contents, strict=True)]
        found = client.post("/predict", files=parts).json()["results"]
    assert [result["file"] for result in found] == list(names)
    assert found[1]["error"].startswith("not an image: a PDF")
    assert found[3]["error"] == "not an image: the file is empty (0 bytes)"
    good = [result for i, result in enumerate(found) if i not in (1, 3)]
    own = np.array([[f["probability"] for f in result["findings"]] for result in good], np.float32)
    np.testing.assert_allclose(own, alone, rtol=1e-6)


def test_a_file_without_a_name_is_answered_without_one():
    head = b'--edge\r\nContent-Disposition: form-data; name="files"; filename=""\r\n\r\n'
    with serving() as client:
        kind = {"Content-Type": "multipart/form-data; boundary=edge"}
        answer = client.post("/predict", content=head + png(0) + b"\r\n--edge--\r\n", headers=kind)
    (result,) = answer.json()["results"]
    assert (result["file"], result["error"], len(result["findings"])) == ("", None, 3)


def test_a_dicom_file_is_answered_and_its_header_told_to_nobody():
    values = np.random.default_rng(0).integers(0, 4096, (40, 50))
    chest, knee = dicom(values, 12), dicom(values, 12, BodyPartExamined="KNEE")
    expected = standin.predictor().predict(chest)[0]
    with serving() as client:
        answer = client.post(
            "/predict", files=form(chest, knee, b"\0" * 128 + b"DICM" + b"junk", names=("a", "b", "c"))
        )
        found = answer.json()["results"]
    np.testing.assert_allclose([f["probability"] for f in found[0]["findings"]], expected, rtol=1e-6)
    assert "body part 'KNEE', not a chest" in found[1]["error"]
    assert "DICOM file" in found[2]["error"]
    assert "SECRET" not in answer.text
    assert "Secret" not in answer.text


class Gate:
    """Rejects images that are wider than 55 pixels."""

    def judge(self, pixels, decoded):
        return Verdict("rejected", "too wide") if decoded[1] > 55 else Verdict("ok")


@pytest.mark.parametrize("on_reject", ["warn", "skip"])
def test_quality_is_what_the_checks_say(on_reject):
    predictor = standin.predictor()
    predictor.gate, predictor.on_reject = Gate(), on_reject
    with serving(predictor) as client:
        ok, rejected, unread = results(client, png(0), png(1, side=50), b"x")
    assert (ok["quality"], ok["error"]) == ("ok", None)
    assert rejected["quality"] == "rejected"
    assert unread["quality"] == "unknown"
    if on_reject == "warn":
        assert len(rejected["findings"]) == 3
    else:
        assert rejected["findings"] == []
        assert rejected["error"] == "rejected: too wide"


def test_quality_is_unknown_without_checks():
    with serving() as client:
        assert results(client, png(0))[0]["quality"] == "unknown"


def test_settings_that_do_not_fit_the_model():
    predictor = standin.predictor()
    with pytest.raises(UnknownNameError, match="nowhere"):
        create_app(predictor, Settings(point="nowhere"))
    predictor.on_reject = "raise"
    with pytest.raises(UsageError, match="'warn' or 'skip'"):
        create_app(predictor, Settings())
    predictor.on_reject, predictor.decision = "warn", None
    with pytest.raises(UsageError, match="no thresholds"):
        create_app(predictor, Settings(point="max_f1"))
