"""Vision transformers (Dosovitskiy et al. 2020, arXiv:2010.11929), also as DINOv2 has them (arXiv:2304.07193).

A transformer's tokens become a feature map (batch, rows, columns, features) like that of any other backbone. With
`pooling="token"` the mean of the map over its places is the class token: each place holds the class token plus the
deviation of its patch token from the mean patch token. So the head "gap" computes what the linear layer behind the
class token does in timm, and pooled features are the class token, as for DINOv2. A class activation map then shows how
much more a patch token speaks for the finding than the others do, in the space of the class token (Vilas et al. 2023,
arXiv:2310.18969): an indication of the place, since the class token gathered its content in earlier layers.

With `pooling="patches"` the map holds the patch tokens before the last norm, for the head "norm": the mean of the
patches, then a layer norm, as masked autoencoders are fine-tuned (He et al. 2021, arXiv:2111.06377).
"""

from __future__ import annotations

from typing import Any, Literal

import keras
from keras import ops

from zoo.core.errors import UsageError
from zoo.models.positions import Positions

Pooling = Literal["token", "patches"]


def vit(
    input_shape: tuple[int | None, int | None, int],
    patch: int,
    width: int,
    heads: int,
    trained: int,
    depth: int = 12,
    layer_scale: bool = False,
    antialias: bool = True,
    pooling: Pooling = "token",
    drop_path: float = 0.0,
) -> keras.Model:
    """A transformer whose norms come first, with a class token and learned positions.

    Args:
        input_shape: (height, width, channels), multiples of `patch`.
        patch: Height and width of a patch in pixels.
        width: Features of a token.
        heads: Attention heads; a divisor of `width`.
        trained: Rows, and columns, of patches for which the positions are stored: those of the trained weights.
        depth: Blocks.
        layer_scale: Whether each branch is multiplied by a trained factor a feature, as in DINOv2.
        antialias: How positions are interpolated for another image size; see `zoo.models.positions.bicubic`.
        pooling: What the feature map holds; see the module.
        drop_path: Rate of stochastic depth in the last block; it falls linearly to 0 in the first.

    Returns:
        A model that maps preprocessed pixels to a feature map of `width` channels: one place for each patch.

    Raises:
        UsageError: The image size is not known, or no multiple of `patch`.

    Example:
        >>> vit((32, 48, 3), patch=16, width=8, heads=2, trained=14, depth=1).output_shape
        (None, 2, 3, 8)
    """
    rows, columns = (_patches(size, patch) for size in input_shape[:2])
    pixels = keras.Input(input_shape, name="pixels")
    x = keras.layers.Conv2D(width, patch, patch, name="patches")(pixels)
    x = keras.layers.Reshape((rows * columns, width), name="tokens")(x)
    x = Positions(trained, rows, columns, antialias, name="positions")(x)
    for block in range(depth):
        drop = drop_path * block / max(depth - 1, 1)
        x = _attention_branch(x, heads, layer_scale, drop, f"block{block}")
        x = _mlp_branch(x, layer_scale, drop, f"block{block}")
    if pooling == "token":
        x = _norm("norm")(x)
    return keras.Model(pixels, TokenMap(rows, columns, pooling, name="map")(x), name="vit")


def _patches(size: int | None, patch: int) -> int:
    if size is None:
        raise UsageError("a vision transformer needs to know the image size: give image_size")
    if size < patch or size % patch:
        below, above = max(size // patch, 1) * patch, (size // patch + 1) * patch
        near = f"{below} or {above}" if below < above else f"{above}"
        raise UsageError(f"this transformer takes image sizes that are multiples of {patch}, got {size}: take {near}")
    return size // patch


def _attention_branch(x: keras.KerasTensor, heads: int, layer_scale: bool, drop: float, name: str) -> keras.KerasTensor:
    width = x.shape[-1]
    branch = _norm(f"{name}_norm1")(x)
    branch = keras.layers.Dense(3 * width, name=f"{name}_qkv")(branch)
    branch = Attention(heads, name=f"{name}_attention")(branch)
    branch = keras.layers.Dense(width, name=f"{name}_projection")(branch)
    if layer_scale:
        branch = LayerScale(name=f"{name}_scale1")(branch)
    return keras.layers.Add(name=f"{name}_add1")([x, _path(branch, drop, f"{name}_drop_path1")])


def _mlp_branch(x: keras.KerasTensor, layer_scale: bool, drop: float, name: str) -> keras.KerasTensor:
    width = x.shape[-1]
    branch = _norm(f"{name}_norm2")(x)
    branch = keras.layers.Dense(4 * width, activation="gelu", name=f"{name}_fc1")(branch)
    branch = keras.layers.Dense(width, name=f"{name}_fc2")(branch)
    if layer_scale:
        branch = LayerScale(name=f"{name}_scale2")(branch)
    return keras.layers.Add(name=f"{name}_add2")([x, _path(branch, drop, f"{name}_drop_path2")])


def _path(branch: keras.KerasTensor, drop: float, name: str) -> keras.KerasTensor:
    return keras.layers.Dropout(drop, noise_shape=(None, 1, 1), name=name)(branch) if drop else branch


def _norm(name: str) -> keras.layers.Layer:
    return keras.layers.LayerNormalization(epsilon=1e-6, name=name)


@keras.saving.register_keras_serializable(package="zoo")
class Attention(keras.layers.Layer):
    """Scaled dot-product attention of tokens to each other; has no weights.

    Input: (batch, tokens, 3 * features), for each token its query, key and value, each the heads in a row. Output:
    (batch, tokens, features). The softmax is computed in float32.

    Args:
        heads: Number of heads.
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> Attention(2)(ops.ones((1, 5, 24))).shape == (1, 5, 8)
        True
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def call(self, qkv: Any) -> Any:
        """Returns for each token the mean of the values of all, weighted by how its query fits their keys."""
        tokens, width = qkv.shape[1], qkv.shape[2] // 3
        each = width // self.heads
        query, key, value = (ops.reshape(part, (-1, tokens, self.heads, each)) for part in ops.split(qkv, 3, axis=-1))
        scores = ops.einsum("bqhd,bkhd->bhqk", query * each**-0.5, key)
        weights = ops.cast(ops.softmax(ops.cast(scores, "float32"), axis=-1), qkv.dtype)
        return ops.reshape(ops.einsum("bhqk,bkhd->bqhd", weights, value), (-1, tokens, width))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, tokens, features)."""
        return (*input_shape[:-1], input_shape[-1] // 3)  # type: ignore[operator]

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal layer."""
        return {**super().get_config(), "heads": self.heads}


@keras.saving.register_keras_serializable(package="zoo")
class LayerScale(keras.layers.Layer):
    """Multiplies each feature by a trained factor, which starts at 1e-5 (Touvron et al. 2021, arXiv:2103.17239)."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the factors."""
        start = keras.initializers.Constant(1e-5)
        self.gamma = self.add_weight(name="gamma", shape=(input_shape[-1],), initializer=start)
        super().build(input_shape)

    def call(self, x: Any) -> Any:
        """Returns `x` (batch, tokens, features), each feature multiplied."""
        return ops.multiply(x, ops.convert_to_tensor(self.gamma))


@keras.saving.register_keras_serializable(package="zoo")
class TokenMap(keras.layers.Layer):
    """Lays tokens out as a feature map (batch, rows, columns, features); see the module. Has no weights.

    Args:
        rows: Rows of patches.
        columns: Columns of patches.
        pooling: "token": the mean of the map is the class token. "patches": the map holds the patch tokens.
        **kwargs: Passed to `keras.layers.Layer`.

    Example:
        >>> tokens = ops.reshape(ops.array([10.0, 1, 3]), (1, 3, 1))
        >>> ops.convert_to_numpy(TokenMap(1, 2, "token")(tokens)).ravel().tolist()
        [9.0, 11.0]
    """

    def __init__(self, rows: int, columns: int, pooling: Pooling, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if pooling not in ("token", "patches"):
            raise UsageError(f"pooling must be 'token' or 'patches', got {pooling!r}")
        self.rows, self.columns, self.pooling = rows, columns, pooling

    def call(self, tokens: Any) -> Any:
        """Maps (batch, 1 + rows * columns, features), the class token first."""
        token, patches = ops.split(tokens, [1], axis=1)
        if self.pooling == "token":
            patches = patches - ops.mean(patches, axis=1, keepdims=True) + token
        return ops.reshape(patches, (-1, self.rows, self.columns, tokens.shape[-1]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape (batch, rows, columns, features)."""
        return (input_shape[0], self.rows, self.columns, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        """The configuration from which `from_config` builds an equal layer."""
        return {**super().get_config(), "rows": self.rows, "columns": self.columns, "pooling": self.pooling}
