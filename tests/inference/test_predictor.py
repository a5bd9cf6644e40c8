"""What a user calls: load, predict, findings."""

import dataclasses
import io
import warnings

import numpy as np
import pytest
from builders import FINDINGS3, tiny_release
from PIL import Image
from standin import StandIn
from standin import predictor as stand_in

import zoo
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.core.errors import ImageError, ReleaseError, StateError, UnknownNameError, UsageError, UsageTypeError
from zoo.data.images.depth import DepthWarning
from zoo.data.images.limits import Limits
from zoo.evaluation.coherence import project
from zoo.evaluation.decision import Decision
from zoo.evaluation.thresholds import fit_decision
from zoo.evaluation.untrained import marked
from zoo.inference.predictor import Predictor
from zoo.release import install, manifest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture(scope="module")
def predictor(folder):
    return zoo.load(folder)


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    made = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    for i in range(5):
        Image.fromarray(rng.integers(0, 256, (40 + i, 50), dtype=np.uint8)).save(made / f"film{i}.png")
    return sorted(made.iterdir())


def test_every_kind_of_image_gives_the_same_row(predictor, films):
    path = films[0]
    array = np.asarray(Image.open(path))
    expected = predictor.predict([path])
    assert expected.shape == (1, 3)
    assert expected.dtype == np.float32
    for image in (str(path), path.read_bytes(), Image.open(path), array, array[..., None], np.stack([array] * 3, -1)):
        np.testing.assert_allclose(predictor.predict([image]), expected, atol=1e-6)


def test_batch_size_does_not_matter(predictor, films):
    whole = predictor.predict(films, batch_size=16)
    np.testing.assert_allclose(predictor.predict(films, batch_size=2), whole, atol=1e-6)
    np.testing.assert_allclose(np.concatenate([predictor.predict([f]) for f in films]), whole, atol=1e-6)
    assert predictor.predict([]).shape == (0, 3)


def test_the_temperature_is_in_and_can_be_left_out(predictor, films):
    logits = next(predictor.stream(films)).logits.astype(float)
    np.testing.assert_allclose(predictor.predict(films), 1 / (1 + np.exp(-logits / 1.7)), atol=1e-6)
    np.testing.assert_allclose(predictor.predict(films, calibrated=False), 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_findings_say_probability_threshold_and_call(predictor, films):
    table = predictor.findings(films)
    assert list(table.columns) == [
        "image",
        "finding",
        "probability",
        "threshold",
        "positive",
        "error",
        "quality",
        "reason",
    ]
    assert list(table["finding"][:3]) == list(FINDINGS3)
    assert len(table) == 15
    decided = table[table["finding"] != "No Finding"]
    assert (decided["positive"] == (decided["probability"] >= np.float32(0.3))).all()
    assert table.loc[table["finding"] == "No Finding", "positive"].isna().all()
    assert len(predictor.findings([])) == 0


def test_an_unreadable_image_is_a_row_and_not_the_end(predictor, films, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("not an image")
    images = [films[0], bad, tmp_path / "missing.png", films[1]]
    with pytest.warns(UserWarning, match=r"bad\.jpg.*1 more"):
        chances = predictor.predict(images)
    assert np.isnan(chances[1:3]).all()
    np.testing.assert_allclose(chances[[0, 3]], predictor.predict(films[:2]), atol=1e-6)
    table = predictor.findings(images)
    assert table.loc[table["image"] == str(bad), "error"].str.contains("bad.jpg").all()
    assert table.loc[table["image"] == str(bad), "positive"].isna().all()
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        predictor.predict(images, strict=True)


def test_a_stream_holds_two_batches_at_most(predictor):
    """The source is drawn on only as fast as results are taken."""
    drawn = []

    def source():
        for i in range(100):
            drawn.append(i)
            yield np.full((32, 32), i, np.uint8) + np.arange(32, dtype=np.uint8)

    stream = predictor.stream(source(), batch_size=4)
    assert next(stream).names == [f"image {i}" for i in range(4)]
    assert len(drawn) <= 8


def test_a_stream_that_goes_on_gives_the_same_bits(predictor, films):
    whole = np.concatenate([b.logits for b in predictor.stream(films, batch_size=2)])
    rest = list(predictor.stream(films[4:], batch_size=2, start=4))
    assert [b.names for b in rest] == [[str(films[4])]]
    np.testing.assert_array_equal(rest[0].logits, whole[4:])
    arrays = [np.asarray(Image.open(film)) for film in films]
    assert next(predictor.stream(arrays, start=7)).names == [f"image {7 + i}" for i in range(5)]


def test_a_few_films_are_not_filled_up_to_a_batch(predictor, films, monkeypatch):
    """A program for one image, and not that for sixteen: of numbers of images there are powers of two."""
    fulls = []
    logits = predictor.runtime.logits
    monkeypatch.setattr(predictor.runtime, "logits", lambda pixels, full: fulls.append(full) or logits(pixels, full))
    for n in (1, 2, 3, 5):
        predictor.predict(films[:n])
    predictor.predict(films, batch_size=3)
    predictor.predict(films, batch_size=4)
    assert fulls == [1, 2, 4, 8, 3, 3, 4, 4]


def test_the_wide_table_has_a_row_for_each_film(predictor, films):
    (batch,) = predictor.stream(films)
    table = predictor.wide_table(batch)
    assert list(table.columns) == ["image", *FINDINGS3, "error", "quality", "reason"]
    np.testing.assert_array_equal(table[list(FINDINGS3)].to_numpy(), predictor.predict(films))


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "file", "opened", "loaded", "array", "float", "one channel"])
def test_one_image_in_place_of_several_gives_one_row(predictor, films, kind):
    path = films[0]
    array = np.asarray(Image.open(path))
    image = {
        "path": path,
        "str": str(path),
        "bytes": path.read_bytes(),
        "file": io.BytesIO(path.read_bytes()),
        "opened": Image.open(path),
        "loaded": Image.open(path).convert("RGB"),
        "array": array,
        "float": array.astype(float),
        "one channel": array[..., None],
    }[kind]
    expected = predictor.predict(films[:1])
    np.testing.assert_array_equal(predictor.predict(image), expected)
    assert len(predictor.findings(image)) == len(FINDINGS3)
    (batch,) = predictor.stream(image)
    np.testing.assert_array_equal(batch.logits, predictor.scores(image, np.zeros((1, 3))).logits)
    explained = predictor.explain(image, FINDINGS3[0])
    assert explained.image.shape == array.shape
    assert explained.logit == pytest.approx(batch.logits[0, 0], abs=1e-5)


def test_a_stack_gives_a_row_for_each_image(predictor):
    stack = np.random.default_rng(0).integers(0, 256, (3, 40, 50), dtype=np.uint8)
    expected = predictor.predict(list(stack))
    for images in (stack, stack[..., None], np.stack([stack] * 3, -1), stack.astype(np.float32), iter(stack)):
        np.testing.assert_allclose(predictor.predict(images), expected, atol=1e-6)
    assert predictor.predict(stack[:0]).shape == (0, 3)
    assert predictor.predict(np.zeros((160, 130), np.uint8) + np.arange(130, dtype=np.uint8)).shape == (1, 3)
    with pytest.raises(UsageError, match="one image is wanted"):
        predictor.explain(stack, FINDINGS3[0])


def test_what_is_no_image_is_said_and_not_a_row(predictor, films):
    for nothing in (None, {"a": films[0]}, 7, [films[0], None], [[films[0]]]):
        with pytest.raises(UsageTypeError):
            predictor.predict(nothing)
    for array in (np.zeros((2, 3, 40, 50)), np.zeros((1, 1, 40, 50, 3)), np.zeros(7)):
        with pytest.raises(UsageError):
            predictor.predict(array)
    with pytest.raises(UsageTypeError, match="one image"):
        predictor.explain(films, FINDINGS3[0])
    with pytest.raises(UsageError, match="batch_size"):
        predictor.predict(films, batch_size=0)


def test_images_of_several_kinds_may_be_mixed(predictor, films):
    kinds = (films[0], films[1].read_bytes(), Image.open(films[2]), np.asarray(Image.open(films[3])))
    np.testing.assert_allclose(predictor.predict(image for image in kinds), predictor.predict(films[:4]), atol=1e-6)


def test_an_opened_image_that_is_turned_is_predicted_as_its_file(predictor, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    ramp = np.add.outer(np.arange(300) ** 2 / 600, np.arange(200) * 0.5).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "turned.jpg", exif=exif)
    expected = predictor.predict(tmp_path / "turned.jpg")
    np.testing.assert_array_equal(predictor.predict([Image.open(tmp_path / "turned.jpg")]), expected)
    np.testing.assert_allclose(predictor.predict(Image.open(tmp_path / "turned.jpg").convert("L")), expected, atol=0.01)


def test_a_warning_about_an_image_points_at_the_users_line(predictor):
    deep = np.add.outer(np.arange(64), np.arange(50)).astype(np.uint16) * 20  # below 4096: 12 bits, it seems
    with pytest.warns(DepthWarning, match="12-bit") as caught:
        predictor.predict(deep)
    assert {warning.filename for warning in caught} == {__file__}


def test_the_limits_are_the_predictors(predictor, films, monkeypatch):
    monkeypatch.setattr(predictor, "limits", Limits(bytes=100))
    table = predictor.findings([films[0], films[1].read_bytes()])
    assert table["error"].str.contains("at most 100 bytes").all()
    with pytest.raises(ImageError, match="at most"):
        predictor.explain(films[0], FINDINGS3[0])
    assert predictor.with_decision(predictor.decision).limits == Limits(bytes=100)


def test_a_member_decides_by_its_own_thresholds_or_not_at_all(folder, films):
    own = zoo.load(folder, members=["tiny0"])
    assert own.decision.temperature == (1.2,)
    other = zoo.load(folder, members=["tiny1"])
    assert other.predict(films).shape == (5, 3)
    with pytest.raises(ValueError, match="no thresholds"):
        other.findings(films)
    with pytest.raises(UnknownNameError, match="tiny0"):
        zoo.load(folder, members=["tinyO"])
    assert zoo.load(folder, members=["tiny0", "tiny0"]).decision == own.decision
    for wrong in ("tiny0", []):
        with pytest.raises(UsageTypeError, match="members is a list of one name or more"):
            zoo.load(folder, members=wrong)


def test_an_unknown_operating_point_names_those_there_are(predictor, films):
    with pytest.raises(UnknownNameError, match="max_f1"):
        predictor.findings(films, point="maxf1")


def test_a_known_model_without_weights_says_three_ways(zoo_home):
    with pytest.raises(FileNotFoundError) as caught:
        zoo.load("xrayslam-ensemble")
    message = str(caught.value)
    assert "\n" not in message
    for part in ("zoo train xrayslam", "zoo install", "ZOO_XRAYSLAM_ENSEMBLE", str(zoo_home)):
        assert part in message


def test_an_installed_name_and_the_environment_are_found(folder, films, monkeypatch):
    install.install(folder, "xrayslam-ensemble")
    expected = zoo.load(folder).predict(films)
    np.testing.assert_array_equal(zoo.predict_ensemble(films), expected)
    plain = zoo.predict_ensemble(films, calibrated=False)
    np.testing.assert_array_equal(plain, zoo.load(folder).predict(films, calibrated=False))
    monkeypatch.setenv("ZOO_XRAYSLAM_DEMO", str(folder))
    np.testing.assert_array_equal(zoo.predict_ensemble(films, "xrayslam-demo"), expected)


def test_a_name_and_a_folder_are_not_mixed_up(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    with pytest.raises(ValueError, match=r"write '\./tiny'"):
        zoo.load("tiny")
    assert zoo.load("./tiny").labels == FINDINGS3
    with pytest.raises(UnknownNameError, match="xrayslam-ensemble"):
        zoo.load("xrayslam-ensembel")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        zoo.load("./nowhere")


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"")
    with pytest.raises(ReleaseError, match=r"has no manifest\.json, and weights only in unsafe formats"):
        zoo.load(tmp_path)


def test_a_png_in_memory_is_read(predictor, films):
    buffer = io.BytesIO()
    Image.open(films[2]).save(buffer, "PNG")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(predictor.predict([buffer.getvalue()]), predictor.predict([films[2]]), atol=1e-6)


def test_a_decision_of_ones_own_in_place_of_the_releases(predictor, films, tmp_path):
    labels = np.array([[1, 0, 1], [0, 1, 0], [1, 1, np.nan], [0, 0, 1], [1, 0, 0]])
    scores = predictor.scores(films, labels, patients=[1, 1, 2, 3, 4])
    np.testing.assert_array_equal(scores.logits, next(predictor.stream(films)).logits)
    assert (scores.split, scores.findings, scores.patients.tolist()) == ("validation", FINDINGS3, list("11234"))
    own = fit_decision(scores, calibration="none", default="youden")
    manifest.write_json(tmp_path / "decision.json", own.to_dict())
    for decision in (own, tmp_path / "decision.json", str(tmp_path / "decision.json")):
        other = predictor.with_decision(decision)
        assert other.findings(films)["threshold"].tolist()[:3] == pytest.approx(own.point("youden").thresholds)
        np.testing.assert_allclose(other.predict(films), predictor.predict(films, calibrated=False))
    assert predictor.decision.temperature == (1.7,)
    with pytest.raises(ReleaseError, match="findings"):
        predictor.with_decision(Decision(("Edema",)))
    with pytest.raises(ImageError, match=r"gone\.png"):
        predictor.scores([*films, "gone.png"], labels)


def test_coherent_probabilities_are_asked_for(films):
    class Contradictory:
        """More sure of the child than of its parent, and of both that there is nothing."""

        name, precision, batch_size = "keras", "float32", 2

        def logits(self, pixels, full=0):
            return np.tile(np.float32([-1, 1, 2]), (len(pixels), 1))

    spec = EnsembleSpec(
        "made-up", (MemberSpec("tiny"),), image_size=32, findings=("Lung Opacity", "Edema", "No Finding")
    )
    model = zoo.Predictor(Contradictory(), spec)
    plain, coherent = model.predict(films), model.predict(films, coherent=True)
    np.testing.assert_array_equal(coherent, project(plain, spec.findings))
    assert (plain[:, 1] > plain[:, 0]).all()
    assert (coherent[:, 1] <= coherent[:, 0]).all()
    assert coherent.dtype == np.float32


def test_an_untrained_finding_is_nan_everywhere():
    shown = np.random.default_rng(3).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    whole = stand_in()
    spec = dataclasses.replace(whole.spec, untrained=FINDINGS3[1:2])
    for decision in (None, whole.decision):
        model = Predictor(StandIn(), spec, decision and marked(decision, spec.untrained))
        assert model.trained == (True, False, True)
        assert np.isnan(model.predict(shown)).tolist() == [[False, True, False]] * 2
        assert np.isnan(model.predict(shown, calibrated=False)[:, 1]).all()
        table = model.wide_table(next(model.stream(shown)))
        assert list(table.columns) == ["image", FINDINGS3[0], FINDINGS3[2], "error", "quality", "reason"]
        assert table["error"].tolist() == ["", ""]
    rows = model.findings(shown).iloc[[1, 4]]
    assert rows["probability"].isna().all()
    assert rows["positive"].isna().all()
    assert rows["error"].tolist() == ["not trained"] * 2
    with pytest.warns(UserWarning, match=f"not trained, so not evaluated: {FINDINGS3[1]}"):
        scores = model.scores(shown, np.ones((2, 3)))
    assert np.isnan(scores.labels).tolist() == [[False, True, False]] * 2
    again = model.with_decision(whole.decision)
    assert again.decision.trained == (True, False, True)
    assert again.decision.point().thresholds[1] is None


class Broken(StandIn):
    """Gives no finite logit in the second row of each batch, and none at all for the last finding."""

    def logits(self, pixels, full=0):
        found = super().logits(pixels)
        found[1, 0], found[:, -1] = np.inf, np.nan
        return found


def test_a_logit_that_is_not_finite_is_an_error_of_its_row():
    shown = np.random.default_rng(3).integers(0, 256, (3, 32, 32), dtype=np.uint8)
    known = stand_in(trained=(True, True, False))
    model = Predictor(Broken(), known.spec, known.decision)
    with pytest.warns(UserWarning, match="image 1: the network gave a logit that is not finite"):
        chances = model.predict(shown)
    assert np.isnan(chances).tolist() == [[False, False, True], [True] * 3, [False, False, True]]
    table = model.findings(shown)
    assert table["error"].str[:41].tolist() == [
        *("", "", "not trained"),
        *["image 1: the network gave a logit that is"] * 3,
        *("", "", "not trained"),
    ]
    assert table["positive"].isna().tolist()[3:6] == [True] * 3
    assert model.wide_table(next(model.stream(shown)))["error"].astype(bool).tolist() == [False, True, False]
    with pytest.raises(StateError, match="not finite"):
        model.predict(shown, strict=True)
