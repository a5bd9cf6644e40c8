"""`zoo.load` with another runtime gives the same predictor, and says plainly what it does not do."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from builders import tiny_release
from exported import export_facts
from PIL import Image

import zoo
from zoo.core.errors import (
    ExportError,
    HubError,
    IntegrityError,
    ReleaseError,
    UnknownNameError,
    UsageError,
    WriteError,
)
from zoo.export import exporting
from zoo.inference import choosing, starting
from zoo.release import manifest
from zoo.release.exports import Export

EXTRA = "pip install 'xrayslam-zoo[serve]'"
LIBRARY = {"openvino": "openvino", "onnx": "onnxruntime"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("starting") / "release")


@pytest.fixture(params=["openvino", "onnx"])
def runtime(request):
    pytest.importorskip("onnx", reason=EXTRA)
    pytest.importorskip(LIBRARY[request.param], reason=EXTRA)
    return request.param


def images(n):
    rng = np.random.default_rng(4)
    return [Image.fromarray(rng.integers(0, 256, (40 + i, 50), dtype=np.uint8)) for i in range(n)]


def test_the_same_predictor(folder, runtime):
    ours, keras = zoo.load(folder, runtime=runtime), zoo.load(folder)
    assert (ours.labels, ours.decision, ours.members) == (keras.labels, keras.decision, keras.members)
    assert f"{runtime} float32" in repr(ours)
    expected = keras.predict(images(7))
    for size in (None, 1, 3, 7, 50):
        np.testing.assert_allclose(ours.predict(images(7), batch_size=size), expected, atol=1e-4)
    np.testing.assert_allclose(
        ours.predict(images(7), calibrated=False), keras.predict(images(7), calibrated=False), atol=1e-4
    )
    assert ours.predict([]).shape == (0, 3)
    assert ours.findings(images(7))["positive"].equals(keras.findings(images(7))["positive"])


def test_an_unreadable_image_is_a_row(folder, runtime):
    with pytest.warns(UserWarning, match="without a prediction"):
        chances = zoo.load(folder, runtime=runtime).predict([images(1)[0], b"no image", images(2)[1]])
    assert np.isnan(chances).any(axis=1).tolist() == [False, True, False]


def test_one_member_alone(folder, runtime):
    ours, keras = (zoo.load(folder, runtime=r, members=["tiny1"]) for r in (runtime, "keras"))
    np.testing.assert_allclose(
        ours.predict(images(3), calibrated=False), keras.predict(images(3), calibrated=False), atol=1e-4
    )
    with pytest.raises((UnknownNameError, ReleaseError), match="tiny9"):
        zoo.load(folder, runtime=runtime, members=["tiny9"])


def test_a_signal_after_some_were_dropped_is_only_a_signal(folder, runtime):
    """OpenVINO's plugins lend the thread a signal stack; with one that went in the wrong order Ctrl-C was a crash."""
    code = (
        "import faulthandler, gc, os, signal, zoo\n"
        "faulthandler.enable()\n"
        "signal.signal(signal.SIGTERM, lambda *_: print('told'))\n"
        f"first, second = (zoo.load({str(folder)!r}, runtime={runtime!r}) for _ in range(2))\n"
        "del first\n"
        "gc.collect()\n"
        "del second\n"
        "gc.collect()\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "told\n"), done.stderr


def test_what_only_keras_does_says_so(folder, runtime):
    ours = zoo.load(folder, runtime=runtime)
    with pytest.raises(ValueError, match="runtime='keras'"):
        ours.model  # noqa: B018
    with pytest.raises(ValueError, match="runtime='keras'"):
        ours.explain(images(1)[0], "Edema")


def test_from_the_cache_it_takes_no_keras_and_no_weights(folder, runtime, tmp_path):
    copied = shutil.copytree(folder, tmp_path / "copied")
    expected = zoo.load(copied, runtime=runtime).predict(images(2))
    for weights in copied.glob("tiny*.safetensors"):
        weights.unlink()
    code = (
        "import sys, numpy as np, zoo\n"
        f"model = zoo.load({str(copied)!r}, runtime={runtime!r})\n"
        "images = np.load(sys.argv[1])\n"
        "np.save(sys.argv[2], model.runtime.logits(images))\n"
        "print([name for name in ('keras', 'tensorflow', 'jax') if name in sys.modules])\n"
    )
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 1), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    command = [sys.executable, "-c", code, str(tmp_path / "images.npy"), str(tmp_path / "logits.npy")]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "[]"
    assert np.load(tmp_path / "logits.npy").shape == (2, expected.shape[1])


@pytest.mark.parametrize(
    "runtime, precision, said",
    [
        ("tensorrt", "float32", "tensorrt"),
        ("openvino", "float8", "float8"),
        ("onnx", "int8", "use runtime openvino"),
        ("keras", "bfloat16", "use runtime openvino"),
    ],
)
def test_what_there_is_not_is_one_line(folder, runtime, precision, said):
    with pytest.raises((UnknownNameError, ValueError), match=said):
        zoo.load(folder, runtime=runtime, precision=precision)


def test_a_missing_library_names_the_extra(folder, monkeypatch):
    monkeypatch.setattr(starting, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"xrayslam-zoo\[serve\]"):
        zoo.load(folder, runtime="openvino")


def test_a_graph_that_was_replaced_is_compiled_anew(tmp_path, zoo_home):
    """OpenVINO's own cache knows `model.xml` by its path, and would run the numbers of the former `model.bin`."""
    pytest.importorskip("openvino", reason=EXTRA)
    from zoo.runtimes.openvino_runtime import openvino

    library = openvino()
    from openvino import opset13 as ops

    pixels = ops.parameter([1, 8, 8, 1], np.uint8)
    flat = ops.reshape(ops.convert(pixels, np.float32), ops.constant(np.array([1, 64])), False)
    result = ops.matmul(flat, ops.constant(np.ones((64, 3), np.float32)), False, False)
    library.save_model(library.Model([result], [pixels], "m"), tmp_path / "model.xml", compress_to_fp16=False)
    numbers, seen = tmp_path / "model.bin", []
    for factor in (1.0, 2.0):
        numbers.write_bytes(numbers.read_bytes().replace(np.float32(1).tobytes(), np.float32(factor).tobytes()))
        graph = Export(tmp_path, export_facts(None), manifest.describe(tmp_path))
        seen.append(starting._in_openvino(graph, "float32").logits(np.ones((1, 8, 8, 1), np.uint8))[0, 0])
    assert seen == [64.0, 128.0]
    assert len([*(zoo_home / "compiled").glob("openvino-*")]) == 2


def test_a_compiled_model_that_was_damaged_is_compiled_anew(folder, zoo_home):
    """OpenVINO reads a file of its cache with changed bytes, and gives other logits."""
    pytest.importorskip("openvino", reason=EXTRA)
    expected = zoo.load(folder, runtime="openvino").predict(images(2))
    (blob,) = (zoo_home / "compiled").rglob("*.blob")
    whole, before = blob.read_bytes(), blob.stat().st_mtime_ns
    np.testing.assert_array_equal(zoo.load(folder, runtime="openvino").predict(images(2)), expected)
    assert blob.stat().st_mtime_ns == before  # read, not written again
    middle = len(whole) // 2
    for damaged in (whole[:middle], whole[:middle] + bytes(2000) + whole[middle + 2000 :], b""):
        blob.write_bytes(damaged)
        np.testing.assert_array_equal(zoo.load(folder, runtime="openvino").predict(images(2)), expected)
        assert blob.read_bytes() != damaged


def test_int8_that_the_release_does_not_carry_says_what_makes_it(folder):
    pytest.importorskip("openvino", reason=EXTRA)
    with pytest.raises(ReleaseError, match=r"zoo export NAME --format openvino --precision int8 --data DIR"):
        zoo.load(folder, runtime="openvino", precision="int8")


# Precisions of OpenVINO


def test_bfloat16_is_near_or_refused(folder, monkeypatch):
    pytest.importorskip("openvino", reason=EXTRA)
    from zoo.runtimes import openvino_runtime

    if "bfloat16" in openvino_runtime.native():
        ours = zoo.load(folder, runtime="openvino", precision="bfloat16")
        np.testing.assert_allclose(ours.predict(images(3)), zoo.load(folder).predict(images(3)), atol=0.1)
    monkeypatch.setattr(openvino_runtime, "native", lambda: frozenset({"float32"}))
    with pytest.raises(ValueError, match=r"this CPU does not compute in bfloat16"):
        zoo.load(folder, runtime="openvino", precision="bfloat16")


class Timed:
    """A runtime whose clock ticks by itself."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    def logits(self, pixels, full=0):
        self.clock[0] += self.seconds
        return np.zeros((len(pixels), 3), np.float32)


def test_auto_takes_the_fastest_that_starts_and_remembers_it(folder, monkeypatch):
    pytest.importorskip("openvino", reason=EXTRA)
    from zoo.release.read import read_release
    from zoo.runtimes import openvino_runtime

    clock, asked = [0.0], []
    seconds = {"float32": 3.0, "bfloat16": 1.0}
    monkeypatch.setattr(openvino_runtime, "native", lambda: frozenset({"float32", "bfloat16"}))
    monkeypatch.setattr(choosing.time, "perf_counter", lambda: clock[0])

    def start(precision):
        asked.append(precision)
        return Timed(clock, seconds[precision])

    found = read_release(folder)
    assert choosing.fastest(found, None, start) == "bfloat16"
    assert asked == ["float32", "bfloat16"]
    assert choosing.fastest(found, None, start) == "bfloat16"
    assert len(asked) == 2

    def refusing(precision, error=ExportError):
        if precision == "bfloat16":
            raise error("computes something else here")
        return start(precision)

    asked.clear()
    with pytest.warns(UserWarning, match=r"'auto' uses float32: bfloat16 is refused on this machine: computes"):
        assert choosing.fastest(found, ["tiny0"], refusing) == "float32"
    assert choosing.fastest(found, ["tiny0"], refusing) == "float32"
    assert asked == ["float32"]  # the second answer is remembered


def test_auto_remembers_no_refusal_by_a_passing_error(folder, monkeypatch, tmp_path):
    pytest.importorskip("openvino", reason=EXTRA)
    from zoo.release.read import read_release
    from zoo.runtimes import openvino_runtime

    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    clock, errors = [0.0], [HubError("the Hub does not answer"), IntegrityError("damaged")]
    monkeypatch.setattr(openvino_runtime, "native", lambda: frozenset({"float32", "bfloat16"}))
    monkeypatch.setattr(choosing.time, "perf_counter", lambda: clock[0])

    def start(precision):
        if precision == "bfloat16" and errors:
            raise errors.pop()
        return Timed(clock, {"float32": 3.0, "bfloat16": 1.0}[precision])

    found = read_release(folder)
    assert [choosing.fastest(found, None, start) for _ in range(4)] == ["float32", "float32", "bfloat16", "bfloat16"]


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ({"float32": 10.0, "bfloat16": 11.4}, "float32"),
        ({"float32": 10.0, "bfloat16": 11.5}, "bfloat16"),
        ({"float32": 10.0, "bfloat16": 11.4, "int8": 11.5}, "int8"),
        ({"float32": 10.0, "bfloat16": 20.0, "int8": 22.0}, "bfloat16"),
        ({"float32": 10.0, "int8": 9.0}, "float32"),
        ({"bfloat16": 1.0}, "bfloat16"),
        ({}, "float32"),
    ],
)
def test_auto_prefers_the_more_exact_unless_another_is_clearly_faster(rates, expected):
    assert choosing.clearly_fastest(rates) == expected


@pytest.mark.parametrize("error", [ExportError, IntegrityError, RuntimeError, UsageError])
def test_auto_falls_back_where_its_choice_does_not_start_after_all(error):
    asked = []

    def start(precision):
        asked.append(precision)
        if precision != "float32":
            raise error(f"no {precision} here")
        return precision

    with pytest.warns(UserWarning, match="leaves") as caught:
        assert choosing.started("int8", start) == "float32"
    assert asked == ["int8", "bfloat16", "float32"]
    assert [str(one.message) for one in caught] == [
        "precision 'auto' leaves int8 for bfloat16: no int8 here",
        "precision 'auto' leaves bfloat16 for float32: no bfloat16 here",
    ]
    with pytest.raises(ReleaseError, match="no weights"):  # float32 has nothing to fall back to
        choosing.started("float32", lambda precision: (_ for _ in ()).throw(ReleaseError("no weights")))


def test_what_auto_chose_on_another_machine_falls_back_on_this_one(folder, monkeypatch):
    pytest.importorskip("openvino", reason=EXTRA)
    from zoo.runtimes import openvino_runtime

    monkeypatch.setattr(openvino_runtime, "native", lambda: frozenset({"float32"}))
    sent = starting.LoadOptions("openvino", "auto").settled("bfloat16")
    with pytest.warns(UserWarning, match="leaves bfloat16 for float32: this CPU does not compute in bfloat16"):
        assert starting.start(folder, sent)[0].precision == "float32"
    with pytest.raises(UsageError, match="this CPU does not compute in bfloat16"):
        starting.start(folder, starting.LoadOptions("openvino", "bfloat16"))


def test_features_are_computed_where_auto_chose_int8_for_the_logits(monkeypatch):
    pytest.importorskip("openvino", reason=EXTRA)
    from zoo.runtimes import openvino_runtime

    graph = SimpleNamespace(facts=SimpleNamespace(features={"a": 3}))
    monkeypatch.setattr(openvino_runtime, "native", lambda: frozenset({"float32"}))
    monkeypatch.setattr(starting.sources, "find", lambda *_: None)
    monkeypatch.setattr(starting, "_graph", lambda *_: graph)
    monkeypatch.setattr(starting, "_in_openvino", lambda graph, precision: precision)
    with pytest.warns(UserWarning, match="leaves"):
        found = starting.start_features("x", starting.LoadOptions("openvino", "auto").settled("int8"))
    assert found == ("float32", {"a": 3})
    with pytest.raises(UsageError, match="there is no int8 graph of the features"):
        starting.start_features("x", starting.LoadOptions("openvino", "int8"))


def test_auto_with_logits_that_bfloat16_changes_is_float32(folder, monkeypatch, tmp_path):
    pytest.importorskip("openvino", reason=EXTRA)
    from zoo.runtimes import openvino_runtime

    monkeypatch.setenv("ZOO_HOME", str(tmp_path))
    monkeypatch.setattr(openvino_runtime, "native", lambda: frozenset({"float32", "bfloat16"}))
    hold = exporting.hold_against_keras

    def moved(model, run, size, temperature, precision, *rest):
        factor = 0.1 if precision == "bfloat16" else 1.0
        return hold(model, lambda images: run(images) * factor, size, temperature, precision, *rest)

    monkeypatch.setattr(exporting, "hold_against_keras", moved)
    with pytest.warns(UserWarning, match=r"'auto' uses float32: bfloat16 is refused on this machine: .*probability"):
        ours = zoo.load(folder, runtime="openvino", precision="auto")
    assert ours.runtime.precision == "float32"
    with pytest.raises(ExportError, match="use precision 'float32' or 'auto'"):
        zoo.load(folder, runtime="openvino", precision="bfloat16")


def test_auto_is_float32_where_a_full_disk_refuses_the_rest(folder, monkeypatch):
    pytest.importorskip("openvino", reason=EXTRA)
    from zoo.release.read import read_release
    from zoo.runtimes import openvino_runtime

    clock, refused = [0.0], [True]
    monkeypatch.setattr(openvino_runtime, "native", lambda: frozenset({"float32", "bfloat16"}))
    monkeypatch.setattr(choosing.time, "perf_counter", lambda: clock[0])

    def start(precision):
        if precision == "bfloat16" and refused:
            raise WriteError("graph: cannot be written: No space left on device")
        return Timed(clock, {"float32": 3.0, "bfloat16": 1.0}[precision])

    found = read_release(folder)
    with pytest.warns(UserWarning, match=r"'auto' uses float32: bfloat16 is refused .*No space left"):
        assert choosing.fastest(found, None, start) == "float32"
    refused.clear()
    assert choosing.fastest(found, None, start) == "bfloat16"  # a disk does not stay full for ever


def test_the_command_line_says_what_auto_chose(folder, capsys):
    from zoo.cli.serving import load_model

    for precision, said in (("auto", "precision 'auto': keras float32\n"), ("float32", "")):
        load_model(SimpleNamespace(model=str(folder), runtime="keras", precision=precision))
        assert capsys.readouterr().err == said


def test_auto_gives_a_predictor(folder):
    pytest.importorskip("openvino", reason=EXTRA)
    ours = zoo.load(folder, runtime="openvino", precision="auto")
    assert ours.runtime.precision in ("float32", "bfloat16")
    np.testing.assert_allclose(ours.predict(images(3)), zoo.load(folder).predict(images(3)), atol=0.1)
