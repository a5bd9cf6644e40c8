"""Weights in the names and shapes of published networks, written down from their definitions, with lively values."""

import zlib
from collections.abc import Iterator, Mapping

import numpy as np
import pytest

Shapes = dict[str, tuple[int, ...]]


def tensors(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """A value for each tensor, which depends on its name alone; none is as a network starts with."""
    return {name: _value(name, shape) for name, shape in shapes.items()}


def _value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.array(7)
    noise = rng.standard_normal(shape)
    end = name.rpartition(".")[2]
    if end == "running_var":
        value = 1.0 + 0.3 * np.abs(noise)
    elif end in ("gamma", "lambda1"):
        value = 0.5 + 0.1 * noise
    elif len(shape) == 1:
        value = 1.0 + 0.2 * noise if end == "weight" else 0.1 * noise
    elif "token" in name or "pos" in name:
        value = 0.5 * noise
    else:
        value = noise * np.sqrt(1.5 / np.prod(shape[1:]))
    return value.astype("float32")


def resnet50(outputs: int = 5, stem: int = 3) -> Shapes:
    """torchvision's and timm's; of TorchXRayVision with a stem of one channel."""
    shapes: Shapes = {"conv1.weight": (64, stem, 7, 7), **_batch_norm("bn1", 64)}
    entering = 64
    for stage, (blocks, filters) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), start=1):
        for block in range(blocks):
            place = f"layer{stage}.{block}"
            sizes = ((filters, entering, 1, 1), (filters, filters, 3, 3), (4 * filters, filters, 1, 1))
            for i, size in enumerate(sizes, start=1):
                shapes |= {f"{place}.conv{i}.weight": size, **_batch_norm(f"{place}.bn{i}", size[0])}
            if block == 0:
                shapes[f"{place}.downsample.0.weight"] = (4 * filters, entering, 1, 1)
                shapes |= _batch_norm(f"{place}.downsample.1", 4 * filters)
            entering = 4 * filters
    return {**shapes, **_affine("fc", outputs, 2048)}


def convnext_tiny(outputs: int = 5) -> Shapes:
    """timm's."""
    shapes: Shapes = {**_affine("stem.0", 96, 3, 4, 4), **_affine("stem.1", 96)}
    for stage, (blocks, width) in enumerate(((3, 96), (3, 192), (9, 384), (3, 768))):
        place = f"stages.{stage}"
        if stage > 0:
            shapes |= {**_affine(f"{place}.downsample.0", width // 2)}
            shapes |= {**_affine(f"{place}.downsample.1", width, width // 2, 2, 2)}
        for block in range(blocks):
            inside = f"{place}.blocks.{block}"
            shapes[f"{inside}.gamma"] = (width,)
            shapes |= {**_affine(f"{inside}.conv_dw", width, 1, 7, 7), **_affine(f"{inside}.norm", width)}
            shapes |= {
                **_affine(f"{inside}.mlp.fc1", 4 * width, width),
                **_affine(f"{inside}.mlp.fc2", width, 4 * width),
            }
    return {**shapes, **_affine("head.norm", 768), **_affine("head.fc", outputs, 768)}


def vit(width: int, depth: int = 12, outputs: int = 5, norm: str = "norm") -> Shapes:
    """timm's vit_{small,base}_patch16_224; with the mean of the patches its last norm is "fc_norm"."""
    shapes = {**_timm_transformer(width, depth, patch=16, positions=197), **_affine(norm, width)}
    return {**shapes, **_affine("head", outputs, width)}


def timm_dinov2(depth: int = 12) -> Shapes:
    """timm's vit_base_patch14_dinov2."""
    shapes = _timm_transformer(768, depth, patch=14, positions=1370)
    shapes |= {f"blocks.{i}.ls{k}.gamma": (768,) for i in range(depth) for k in (1, 2)}
    return {**shapes, **_affine("norm", 768)}


def dinov2(depth: int = 12) -> Shapes:
    """Dinov2Model of transformers, as its files have it."""
    shapes: Shapes = {
        "embeddings.cls_token": (1, 1, 768),
        "embeddings.mask_token": (1, 768),
        "embeddings.position_embeddings": (1, 1370, 768),
        **_affine("embeddings.patch_embeddings.projection", 768, 3, 14, 14),
    }
    for block in range(depth):
        place = f"encoder.layer.{block}"
        for part in ("attention.attention.query", "attention.attention.key", "attention.attention.value"):
            shapes |= _affine(f"{place}.{part}", 768, 768)
        shapes |= {**_affine(f"{place}.attention.output.dense", 768, 768)}
        shapes |= {**_affine(f"{place}.norm1", 768), **_affine(f"{place}.norm2", 768)}
        shapes |= {**_affine(f"{place}.mlp.fc1", 3072, 768), **_affine(f"{place}.mlp.fc2", 768, 3072)}
        shapes |= {f"{place}.layer_scale{k}.lambda1": (768,) for k in (1, 2)}
    return {**shapes, **_affine("layernorm", 768)}


def _timm_transformer(width: int, depth: int, patch: int, positions: int) -> Shapes:
    shapes: Shapes = {"cls_token": (1, 1, width), "pos_embed": (1, positions, width)}
    shapes |= _affine("patch_embed.proj", width, 3, patch, patch)
    for block in range(depth):
        place = f"blocks.{block}"
        shapes |= {**_affine(f"{place}.norm1", width), **_affine(f"{place}.norm2", width)}
        shapes |= {**_affine(f"{place}.attn.qkv", 3 * width, width), **_affine(f"{place}.attn.proj", width, width)}
        shapes |= {**_affine(f"{place}.mlp.fc1", 4 * width, width), **_affine(f"{place}.mlp.fc2", width, 4 * width)}
    return shapes


def _affine(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def _batch_norm(name: str, channels: int) -> Shapes:
    parts: Iterator[str] = iter(("running_mean", "running_var"))
    return {
        **_affine(name, channels),
        **{f"{name}.{part}": (channels,) for part in parts},
        f"{name}.num_batches_tracked": (),
    }


def ensemble(ported, size: int):
    """The converted network, its weights assigned; one without a classifier gets a linear layer (`probe`) behind it."""
    import keras

    from zoo.config.specs import EnsembleSpec
    from zoo.models.ensemble import Ensemble
    from zoo.models.weights.files import build_uninitialized, named_weights

    weights, member = dict(ported.weights), ported.member
    if not ported.findings:
        kernel, bias = probe()
        weights |= {"head/kernel": kernel, "head/bias": bias}
    spec = EnsembleSpec("port", (member,), size, ported.findings or tuple("abcde"))
    model = build_uninitialized(lambda: Ensemble.from_spec(spec))
    variables = named_weights(model.members[0])
    assert variables.keys() == weights.keys()
    for name, variable in variables.items():
        assert tuple(variable.shape) == weights[name].shape, name
        variable.assign(weights[name])
    # JAX compiles the network once; TensorFlow runs it sooner than it traces it.
    model.compile(run_eagerly=keras.backend.backend() == "tensorflow")
    return model


def by_openvino(model, size: int, images: np.ndarray) -> np.ndarray:
    """Its logits by OpenVINO, in float32, from the graph that we write."""
    openvino = pytest.importorskip("openvino")
    pytest.importorskip("onnx")
    from zoo.export.onnx.model import to_onnx

    core = openvino.Core()
    graph = core.read_model(to_onnx(model, size).SerializeToString())
    return core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(images)[0]


def probe() -> tuple[np.ndarray, np.ndarray]:
    """Kernel (768, 5) and bias (5,) of a linear layer for features."""
    made = tensors(_affine("head", 5, 768))
    return made["head.weight"].T, made["head.bias"]


def images(size: int, n: int = 2) -> np.ndarray:
    """uint8 (n, size, size, 1): smooth shapes and noise, each image of another brightness."""
    rng = np.random.default_rng(size)
    noise = rng.integers(0, 256, (n, size, size, 1)) * np.linspace(0.4, 1, n)[:, None, None, None]
    ramp = np.add.outer(np.linspace(0, 128, size), np.linspace(0, 127, size))[None, :, :, None]
    return ((noise + ramp * np.arange(n)[:, None, None, None]) / n).astype(np.uint8)
