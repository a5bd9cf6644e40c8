import dataclasses
import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from zoo.config.specs import MemberSpec
from zoo.core.errors import WeightsError
from zoo.models import architectures
from zoo.models.architectures import ARCHITECTURES
from zoo.models.backbones import Backbone
from zoo.models.classifier import Classifier
from zoo.models.weights.files import load_safetensors, named_weights, save_safetensors, uninitialized
from zoo.models.weights.pretrained import fetch_imagenet, load_pretrained

#: What the published EfficientNetV1 files hold: the deviations stand where the variances belong.
NORMALIZATION = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def publish(path: Path, network: keras.Model, normalization: Any = None, split_names: bool = False) -> Path:
    """Writes a network's weights as Keras' published files have them: groups of layers, trainable weights first."""
    layers = [(layer.name, layer) for layer in network.layers]
    with h5py.File(path, "w") as file:
        names = [name.encode() for name, _ in layers]
        if normalization is not None:
            names.insert(1, b"normalization")
            group = file.create_group("normalization")
            arrays = {f"normalization/{k}:0": v for k, v in zip(("mean", "variance"), normalization, strict=True)}
            arrays["normalization/count:0"] = 0
            group.attrs["weight_names"] = [name.encode() for name in arrays]
            for name, array in arrays.items():
                group[name] = np.asarray(array, "float32")
        for name, layer in layers:
            group = file.create_group(name)
            weights = layer.trainable_weights + layer.non_trainable_weights
            group.attrs["weight_names"] = [f"{name}/{v.name}:0".encode() for v in weights]
            for variable in weights:
                group[f"{name}/{variable.name}:0"] = keras.ops.convert_to_numpy(variable)
        if split_names:
            file.attrs["layer_names0"], file.attrs["layer_names1"] = names[:7], names[7:]
        else:
            file.attrs["layer_names"] = names
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.4.0"
    return path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Any]:
    """A loopback web server: `.folder` is what it serves, `.url` where, `.asked` what was asked of it."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            instance.asked.append(self.path)  # type: ignore[attr-defined]

    folder = tmp_path / "served"
    folder.mkdir()
    instance = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    instance.folder, instance.asked = folder, []  # type: ignore[attr-defined]
    instance.url = f"http://127.0.0.1:{instance.server_port}"  # type: ignore[attr-defined]
    threading.Thread(target=instance.serve_forever, daemon=True).start()
    yield instance
    instance.shutdown()
    instance.server_close()


@pytest.fixture(autouse=True)
def no_other_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras" / "models"


@pytest.fixture
def published(fill: Any, server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`published("tiny")`: its row now points at a self-made file on the loopback server; gives the file."""

    def published(name: str, normalization: Any = None, digest: str = "md5", gain: float = 0.8) -> Path:
        with uninitialized():
            backbone = Backbone(name, 32)
        path = publish(server.folder / f"{name}_notop.h5", fill(backbone, gain).network, normalization)
        row = dataclasses.replace(
            ARCHITECTURES[name],
            imagenet_url=f"{server.url}/{path.name}",
            imagenet_hash=hashlib.new(digest, path.read_bytes()).hexdigest(),
        )
        monkeypatch.setitem(architectures.ARCHITECTURES, name, row)
        return path

    return published


def _arrays(model: Any) -> dict[str, np.ndarray]:
    return {name: keras.ops.convert_to_numpy(v) for name, v in named_weights(model).items()}


def _same(a: Any, b: Any) -> bool:
    a, b = _arrays(a), _arrays(b)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.real
def test_a_release_of_an_imagenet_start_gives_its_logits_again(
    published: Any, fill: Any, pixels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """EfficientNet's hidden layer: lost in a rebuild, logits move by up to 61 % without an error."""
    path = published("efficientnetb0", NORMALIZATION, gain=3.2)
    spec = MemberSpec("efficientnetb0", weights="imagenet")
    with uninitialized():
        started = Classifier.from_spec(spec, 32, 4, start=True)
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 1, (1280, 4))
    started.head.linear.kernel.assign(kernel)
    started.head.linear.bias.assign(np.zeros(4))
    images = (pixels(4) * np.linspace(0.25, 1, 4)[:, None, None, None]).astype("uint8")
    logits = keras.ops.convert_to_numpy(started(images))
    started.head.linear.kernel.assign(kernel * 2 / logits.std())
    golden = keras.ops.convert_to_numpy(started(images))
    assert golden.std() >= 1
    assert golden.std(axis=0).max() >= 0.2  # they do depend on the pixels

    save_safetensors(started, tmp_path / "release.safetensors")
    with uninitialized():
        rebuilt = Classifier.from_spec(spec, 32, 4)
    load_safetensors(rebuilt, tmp_path / "release.safetensors")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(rebuilt(images)), golden, atol=1e-5)

    # The peer: Keras itself with the same file as its "imagenet", hidden layer included.
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda *args, **kwargs: str(path))
    with uninitialized():
        peer = keras.applications.EfficientNetB0(weights="imagenet", include_top=False, input_shape=(32, 32, 3))
    theirs = keras.ops.convert_to_numpy(peer(np.repeat(images, 3, -1).astype("float32")))
    ours = keras.ops.convert_to_numpy(started.backbone(images))
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3 * theirs.std())


@pytest.mark.parametrize("digest", ["md5", "sha256"])
def test_the_file_is_fetched_once(digest: str, published: Any, fill: Any, server: Any, zoo_home: Path) -> None:
    published("tiny", digest=digest)
    for _ in range(2):
        backbone = Backbone("tiny", 32)
        load_pretrained(backbone, "imagenet")
        assert _same(backbone, fill(Backbone("tiny", 32)))
    assert server.asked == ["/tiny_notop.h5"]
    assert [p.name for p in (zoo_home / "pretrained").iterdir()] == ["tiny_notop.h5"]


def test_a_file_in_keras_own_cache_is_taken(published: Any, server: Any, no_other_cache: Path) -> None:
    path = published("tiny")
    no_other_cache.mkdir(parents=True)
    (no_other_cache / path.name).write_bytes(path.read_bytes())
    assert fetch_imagenet(architectures.get("tiny")) == no_other_cache / path.name
    assert server.asked == []


def test_a_broken_file_in_keras_own_cache_is_not(published: Any, server: Any, no_other_cache: Path) -> None:
    path = published("tiny")
    no_other_cache.mkdir(parents=True)
    (no_other_cache / path.name).write_bytes(b"half of it")
    load_pretrained(Backbone("tiny", 32), "imagenet")
    assert server.asked == ["/tiny_notop.h5"]


def test_another_file_than_the_published_one_is_not_kept(published: Any, server: Any, zoo_home: Path) -> None:
    path = published("tiny")
    path.write_bytes(b"<html>a login page</html>")
    with pytest.raises(WeightsError, match=r"what came from http://.* has hash [0-9a-f]{32}, expected [0-9a-f]{32}"):
        load_pretrained(Backbone("tiny", 32), "imagenet")
    assert list((zoo_home / "pretrained").iterdir()) == []


def test_a_wrong_file_put_in_place_is_named(published: Any, server: Any, zoo_home: Path) -> None:
    published("tiny")
    (zoo_home / "pretrained").mkdir(parents=True)
    (zoo_home / "pretrained" / "tiny_notop.h5").write_bytes(b"something else")
    with pytest.raises(
        WeightsError, match=r"tiny_notop\.h5 is not the published file \(hash .*: delete it, or pass it"
    ):
        load_pretrained(Backbone("tiny", 32), "imagenet")
    assert server.asked == []


@pytest.mark.parametrize("failure", ["no server", "not found"])
def test_without_network_one_line_says_how_to_get_the_file(
    failure: str, published: Any, server: Any, zoo_home: Path
) -> None:
    path = published("tiny")
    url = architectures.get("tiny").imagenet_url
    path.unlink()
    if failure == "no server":
        server.shutdown()
        server.server_close()
    with pytest.raises(WeightsError) as error:
        load_pretrained(Backbone("tiny", 32), "imagenet")
    text, place = str(error.value), zoo_home / "pretrained" / "tiny_notop.h5"
    assert text.startswith("tiny: no ImageNet weights (")
    assert (
        f"get tiny_notop.h5 from {url} on another machine, then pass its path as weights or place it at {place}" in text
    )
    assert "\n" not in text


def test_placing_the_file_where_the_error_says_is_enough(published: Any, server: Any, zoo_home: Path) -> None:
    path = published("tiny")
    (zoo_home / "pretrained").mkdir(parents=True)
    path.rename(zoo_home / "pretrained" / path.name)
    load_pretrained(Backbone("tiny", 32), "imagenet")
    assert server.asked == []


def test_an_architecture_without_published_weights() -> None:
    with pytest.raises(WeightsError, match="tiny: there are no published ImageNet weights; use weights=None or a path"):
        load_pretrained(Backbone("tiny", 32), "imagenet")


@pytest.mark.parametrize("kind", ["published", "split names", "keras 3", "backbone", "classifier"])
def test_local_files(kind: str, fill: Any, tmp_path: Path) -> None:
    model = fill(Classifier.from_spec(MemberSpec("tiny"), 32, 2))
    if kind in ("published", "split names"):
        path = publish(tmp_path / "w.h5", model.backbone.network, split_names=kind == "split names")
    elif kind == "keras 3":
        path = tmp_path / "w.weights.h5"
        model.backbone.save_weights(path)
    else:
        path = save_safetensors(model if kind == "classifier" else model.backbone, tmp_path / "w.safetensors")
    backbone = Backbone("tiny", 32)
    load_pretrained(backbone, path)
    assert _same(backbone, model.backbone)


def test_a_frozen_backbone_reads_the_same_order(fill: Any, tmp_path: Path) -> None:
    source, backbone = fill(Backbone("tiny", 32)), Backbone("tiny", 32)
    backbone.trainable = False
    load_pretrained(backbone, publish(tmp_path / "w.h5", source.network))
    assert _same(backbone, source)


def test_a_file_of_another_architecture_is_refused(fill: Any, tmp_path: Path) -> None:
    x = inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(16, 3, use_bias=False, name="stem_conv")(x)
    x = keras.layers.Conv2D(8, 3, name="narrow")(x)
    path = publish(tmp_path / "w.h5", keras.Model(inputs, x))
    message = (
        r"w\.h5 does not belong to tiny: it has 2 layers with weights, the backbone 8; the file's layer "
        r"'narrow' has shapes \[\(3, 3, 16, 8\), \(8,\)\], ours 'stem_bn' has \[\(16,\), \(16,\), \(16,\), \(16,\)\]"
    )
    backbone = fill(Backbone("tiny", 32))
    with pytest.raises(WeightsError, match=message):
        load_pretrained(backbone, path)
    assert _same(backbone, fill(Backbone("tiny", 32)))


def test_a_file_that_ends_early_or_goes_on(fill: Any, tmp_path: Path) -> None:
    path = publish(tmp_path / "w.h5", Backbone("tiny", 32).network)
    with h5py.File(path, "a") as file:
        names = [name.encode() for name in file.attrs["layer_names"]]
        file.attrs["layer_names"] = names[:-4]
    with pytest.raises(WeightsError, match=r"6 layers with weights, the backbone 8; ours goes on with down2_conv"):
        load_pretrained(Backbone("tiny", 32), path)
    with h5py.File(path, "a") as file:
        file.attrs["layer_names"] = names
        top = file.create_group("predictions")
        top.attrs["weight_names"] = [b"kernel:0"]
        top["kernel:0"] = np.zeros((64, 10))
        file.attrs["layer_names"] = [*names, b"predictions"]
    with pytest.raises(WeightsError, match=r"the file goes on with predictions \(use the file without"):
        load_pretrained(Backbone("tiny", 32), path)


def test_a_network_trained_on_other_pixels_is_refused(fill: Any, tmp_path: Path) -> None:
    with uninitialized():
        backbone = fill(Backbone("efficientnetb0", 32))
    path = publish(tmp_path / "own.h5", backbone.network, normalization=([0, 0, 0], [1, 1, 1]))
    with pytest.raises(WeightsError, match=r"own\.h5 expects other pixel values: it normalises with mean \[0.0"):
        load_pretrained(backbone, path)


def test_files_that_cannot_be_read(fill: Any, tmp_path: Path) -> None:
    backbone = Backbone("tiny", 32)
    for name, content, message in (
        ("w.h5", b"<html>", r"w\.h5 is not a readable weights file of tiny"),
        ("w.safetensors", b"", r"w\.safetensors is not a readable safetensors file"),
        ("w.pth", b"x", r"w\.pth must end in \.h5 or \.safetensors"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WeightsError, match=message):
            load_pretrained(backbone, tmp_path / name)
    with pytest.raises(WeightsError, match=r"no weights file at .*none\.h5; weights is 'imagenet', a path, or None"):
        load_pretrained(backbone, tmp_path / "none.h5")
    named_weights(backbone)["stem_bn/gamma"].assign(np.full(16, np.nan))
    path = publish(tmp_path / "nan.h5", backbone.network)
    with pytest.raises(WeightsError, match=r"nan\.h5 was not loaded: it holds values that are NaN or infinite"):
        load_pretrained(Backbone("tiny", 32), path)
