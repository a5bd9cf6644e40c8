"""An export computes what Keras does or does not appear, says what it was made of, and carries its preprocessing."""

import json

import numpy as np
import pytest
from builders import FINDINGS3, tiny_release
from exported import CHECK

import zoo
from zoo.cli import main
from zoo.core.errors import ExportError, ReleaseError, UnknownNameError
from zoo.evaluation.decision import Decision, probabilities
from zoo.export import exporting, formats
from zoo.release import exports, layout, manifest
from zoo.release.read import read_release

EXTRA = "pip install 'xrayslam-zoo[serve]'"
WHOLE = {
    "openvino": {"export.json", "model.xml", "model.bin"},
    "onnx": {"export.json", "model.onnx"},
    "litert": {"export.json", "model.tflite"},
}


def needs(*libraries):
    for library in libraries:
        pytest.importorskip(library, reason=EXTRA)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return read_release(tiny_release(tmp_path_factory.mktemp("exporting") / "release"))


@pytest.fixture(scope="module")
def expected(found):
    """Keras' logits of images that no export has seen, before the temperature."""
    return zoo.load(found.folder).runtime.logits(images())


def images(n=5):
    return np.random.default_rng(8).integers(0, 256, (n, 32, 32, 1), dtype=np.uint8)


def run_onnx(folder, pixels):
    import onnxruntime

    return onnxruntime.InferenceSession(folder / "model.onnx").run(["logits"], {"pixels": pixels})[0]


def run_openvino(folder, pixels):
    import openvino

    model = openvino.Core().compile_model(folder / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return model({"pixels": pixels})[0]


def run_litert(folder, pixels):
    import tensorflow as tf

    runner = tf.lite.Interpreter(str(folder / "model.tflite")).get_signature_runner()
    (name,) = runner.get_input_details()
    return np.concatenate([next(iter(runner(**{name: image[None]}).values())) for image in pixels])


@pytest.mark.parametrize(
    "format, run, libraries",
    [
        ("onnx", run_onnx, ["onnx", "onnxruntime"]),
        ("openvino", run_openvino, ["onnx", "openvino"]),
        pytest.param("litert", run_litert, ["tensorflow"], marks=pytest.mark.once_on_jax),
    ],
)
def test_the_files_alone_give_keras_logits_over_the_temperature(found, expected, tmp_path, format, run, libraries):
    needs(*libraries)
    made = exporting.export(found, tmp_path / "out", format)
    assert {f.name for f in made.folder.iterdir()} == WHOLE[format]
    np.testing.assert_allclose(run(made.folder, images()), expected / 1.7, atol=1e-4 * np.abs(expected).max())
    assert made.facts.check.difference <= made.facts.check.tolerance
    assert made.facts.temperature == (1.7,)
    assert made.facts.findings == FINDINGS3
    assert made.facts.source.manifest_sha256 == found.manifest_sha256
    assert made.facts.files == {k: v for k, v in manifest.describe(made.folder).items() if k != layout.FACTS}
    assert exports.read(made.folder).facts == made.facts


@pytest.mark.once_on_jax
def test_a_saved_model_gives_keras_logits_over_the_temperature(found, expected, tmp_path):
    tf = pytest.importorskip("tensorflow")
    made = exporting.export(found, tmp_path / "out", "saved_model")
    loaded = tf.saved_model.load(str(made.folder / "saved_model"))
    got = loaded.serve(images()).numpy()
    np.testing.assert_allclose(got, expected / 1.7, atol=1e-4 * np.abs(expected).max())
    assert all(name.startswith("saved_model/") for name in made.facts.files)


def test_the_temperature_can_be_left_out(found, expected, tmp_path):
    needs("onnx", "onnxruntime")
    made = exporting.export(found, tmp_path / "out", "onnx", calibrated=False)
    np.testing.assert_allclose(run_onnx(made.folder, images()), expected, atol=1e-4 * np.abs(expected).max())
    assert made.facts.temperature == (1.0,)
    assert "not divided" in made.facts.output.values
    import onnx

    divisors = [node for node in onnx.load(made.folder / "model.onnx").graph.node if node.name.startswith("/Div")]
    assert divisors == []


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_graphs_of_the_cache_give_logits(found, expected, runtime):
    needs("onnx", {"onnx": "onnxruntime"}.get(runtime, runtime))
    from zoo.export import graph_cache

    loaded = zoo.load(found.folder, runtime=runtime)
    folder = graph_cache.folder_of(found, None, runtime, "float32")
    assert exports.read(folder).temperature == (1.0,)
    run = {"onnx": run_onnx, "openvino": lambda *a: np.concatenate([run_openvino(a[0], x[None]) for x in a[1]])}
    np.testing.assert_array_equal(run[runtime](folder, images()), loaded.runtime.logits(images()))
    np.testing.assert_allclose(loaded.runtime.logits(images()), expected, atol=1e-4 * np.abs(expected).max())


def test_one_member_alone_has_its_own_temperature(found, tmp_path):
    needs("onnx", "onnxruntime")
    made = exporting.export(found, tmp_path / "out", "onnx", members=["tiny0"])
    assert made.facts.members == ("tiny0",)
    assert made.facts.temperature == (1.2,)
    expected = zoo.load(found.folder, members=["tiny0"]).runtime.logits(images())
    np.testing.assert_allclose(run_onnx(made.folder, images()) * 1.2, expected, atol=1e-3)


def test_an_onnx_file_says_what_it_is_and_passes_the_checker(found, tmp_path):
    needs("onnx", "onnxruntime")
    import onnx

    made = exporting.export(found, tmp_path / "out", "onnx")
    graph = onnx.load(made.folder / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    produced = {name for node in graph.graph.node for name in node.output}
    known = produced | {i.name for i in graph.graph.initializer} | {"pixels", ""}
    assert {name for node in graph.graph.node for name in node.input} <= known
    said = {entry.key: entry.value for entry in graph.metadata_props}
    assert json.loads(said["findings"]) == list(FINDINGS3)


# What does not appear


@pytest.fixture
def wrong(monkeypatch):
    """A writer whose file computes something else."""

    def write(facts, batch):
        def writer(model, found, folder):
            (folder / "model.onnx").write_bytes(b"other")
            return lambda pixels: np.ones((len(pixels), 3), np.float32)

        return writer

    monkeypatch.setattr(formats, "writer", write)


def test_a_graph_with_other_logits_is_not_written(found, tmp_path, wrong):
    with pytest.raises(ExportError, match=r"not written: a logit differs by .* may differ by"):
        exporting.export(found, tmp_path / "out", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["zoo-home"]  # what the golden logits gave


def test_no_number_is_not_written_either(found, tmp_path, monkeypatch):
    nothing = lambda pixels: np.full((len(pixels), 3), np.nan)  # noqa: E731
    monkeypatch.setattr(formats, "writer", lambda *a: lambda *b: nothing)
    with pytest.raises(ExportError, match="must be finite"):
        exporting.export(found, tmp_path / "out", "onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["zoo-home"]  # what the golden logits gave


def test_an_older_export_stays_until_the_new_one_is_whole(found, tmp_path, wrong, monkeypatch):
    old = tmp_path / "out"
    old.mkdir()
    (old / layout.FACTS).write_text("{}")
    with pytest.raises(ExportError):
        exporting.export(found, old, "onnx")
    assert [f.name for f in old.iterdir()] == [layout.FACTS]
    monkeypatch.setattr(exporting, "hold_against_keras", lambda *a: CHECK)
    exporting.export(found, old, "onnx")
    assert (old / "model.onnx").read_bytes() == b"other"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["out", "zoo-home"]


def test_a_folder_of_something_else_is_not_replaced(found, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(ExportError, match="exists and is no export"):
        exporting.export(found, tmp_path / "mine", "onnx")
    assert (tmp_path / "mine" / "notes.txt").read_text() == "keep"


@pytest.mark.parametrize(
    "format, precision, said",
    [
        ("onnxx", "float32", "onnx"),
        ("onnx", "bfloat16", "is written in float32"),
        ("openvino", "int8", "--data"),
    ],
)
def test_a_choice_there_is_none_of_is_one_line(found, tmp_path, format, precision, said):
    with pytest.raises((UnknownNameError, ExportError), match=said):
        exporting.export(found, tmp_path / "out", format, precision)


def test_an_unknown_member_is_named(found, tmp_path):
    with pytest.raises((UnknownNameError, ReleaseError), match="tiny9"):
        exporting.export(found, tmp_path / "out", "onnx", members=["tiny9"])


@pytest.mark.parametrize("alter", ["model.onnx", "export.json"])
def test_an_altered_export_is_not_read(found, tmp_path, alter, wrong, monkeypatch):
    monkeypatch.setattr(exporting, "hold_against_keras", lambda *a: CHECK)
    made = exporting.export(found, tmp_path / "out", "onnx")
    (made.folder / alter).write_bytes(b"0ther" if alter == "model.onnx" else b"[]")
    with pytest.raises(ReleaseError):
        exports.read(made.folder)


# The command


def test_the_command_says_how_near_it_came(found, tmp_path, capsys, monkeypatch):
    needs("onnx", "onnxruntime")
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(found.folder), "--format", "onnx", "--out", "out"]) == 0
    assert "no logit differs from Keras" in capsys.readouterr().out
    got = 1 / (1 + np.exp(-run_onnx(tmp_path / "out", images())))
    whole = zoo.load(found.folder)
    expected = probabilities(whole.runtime.logits(images()), Decision(FINDINGS3, (1.7,)))
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_the_command_refuses_in_one_line(found, capsys):
    assert main(["export", str(found.folder), "--format", "litert", "--precision", "int8"]) != 0
    assert main(["export", str(found.folder), "--format", "openvino", "--precision", "int8"]) != 0
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 2, said
    assert "--data" in said[1]
