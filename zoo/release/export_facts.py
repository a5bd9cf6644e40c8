"""What the `export.json` of an export holds, as types: its schema is made from these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_FINDINGS, MAX_IMAGE_SIZE, MAX_MEMBERS
from zoo.release import exports
from zoo.release.documents import MAX_FILES, Count, Listed, Sha256

_Size = Annotated[float, Keywords(minimum=0)]
_Text = Annotated[str, Keywords(maxLength=400)]
_Names = Annotated[
    tuple[Annotated[str, Keywords(minLength=1, maxLength=200)], ...],
    Keywords(minItems=1, maxItems=MAX_FINDINGS, uniqueItems=True),
]
_Axis = Annotated[int, Keywords(minimum=1)] | Literal["n"]


@dataclass(frozen=True)
class Tensor:
    """An input or output of the network.

    Attributes:
        name: In the graph.
        dtype: Number type.
        shape: Length of each axis; "n" where any is taken.
        values: What the numbers are.
    """

    name: Annotated[str, Keywords(maxLength=200)]
    dtype: Annotated[str, Keywords(maxLength=20)]
    shape: Annotated[tuple[_Axis, ...], Keywords(maxItems=8)]
    values: _Text


@dataclass(frozen=True)
class Source:
    """The release that an export was made from.

    Attributes:
        manifest_sha256: Of its manifest.
        weights: Weights file of each member -> its sha256.
        reference: Where that was pulled from, or empty.
    """

    manifest_sha256: Sha256
    weights: Annotated[Mapping[str, Sha256], Keywords(minProperties=1, maxProperties=MAX_MEMBERS)]
    reference: _Text = ""


@dataclass(frozen=True)
class KerasCheck:
    """The logits of an export compared with those of Keras, on images drawn for the purpose, before it was written.

    Attributes:
        backend: Of Keras.
        films: How many images.
        difference: Largest absolute difference of a logit.
        tolerance: What the difference had to stay within; null for int8, which is accepted on radiographs instead.
        largest: Largest absolute logit.
    """

    backend: Annotated[str, Keywords(maxLength=40)]
    films: Annotated[int, Keywords(minimum=1)]
    difference: _Size
    tolerance: Annotated[float | None, Keywords(minimum=0)]
    largest: _Size = field(default_factory=float)


@dataclass(frozen=True)
class ImagesOfPart:
    """Images that something was done with.

    Attributes:
        films: How many images.
        part: Part of the split, or 'all'; older files say 'tune' for validation.
        split_hash: Of the split's manifest; empty where there is none.
    """

    films: Annotated[int, Keywords(minimum=1)]
    part: Literal["validation", "test", "all", "tune"]
    split_hash: Annotated[str, Keywords(maxLength=64)]


@dataclass(frozen=True)
class Figure:
    """A number with its interval and the number of images or decisions that it rests on."""

    value: float
    low: float | None
    high: float | None
    n: Annotated[int, Keywords(minimum=1)]
    positives: Count = field(default_factory=int)


@dataclass(frozen=True)
class Loss:
    """What int8 arithmetic loses against float32.

    Attributes:
        auc_loss: Macro AUC of float32 less that of int8, with a paired interval.
        decisions_kept: Share of threshold decisions that are the same.
        auc: Macro AUC in float32.
        auc_int8: Macro AUC in int8.
        largest_difference: Largest absolute difference of a logit.
    """

    auc_loss: Figure
    decisions_kept: Figure
    auc: float = field(default_factory=float)
    auc_int8: float = field(default_factory=float)
    largest_difference: _Size = field(default_factory=float)


@dataclass(frozen=True)
class Limits:
    """The losses up to which int8 is accepted."""

    auc_loss: Annotated[float, Keywords(const=exports.MAX_AUC_LOSS)]
    decisions_kept: Annotated[float, Keywords(const=exports.MIN_DECISIONS_KEPT)]


@dataclass(frozen=True)
class Acceptance:
    """What int8 loses against float32 on images that it was not calibrated on.

    Attributes:
        calibration: Images that ranges of values were measured on.
        compared: Images that int8 and float32 were compared on.
        limits: The losses up to which int8 is accepted.
        runs: Number type of what int8 does not reach -> what was lost with it.
        in_float: Parts of the network that int8 does not reach.
        notes: For a reader.
    """

    calibration: ImagesOfPart
    compared: ImagesOfPart
    limits: Limits
    runs: Annotated[Mapping[str, Loss], Keywords(required=["float32"], propertyNames={"enum": ["float32", "bfloat16"]})]
    in_float: Annotated[tuple[_Text, ...], Keywords(maxItems=10000)] = ()
    notes: Annotated[tuple[Annotated[str, Keywords(maxLength=600)], ...], Keywords(maxItems=50)] = ()


@dataclass(frozen=True)
class ExportFacts:
    """export.json: a network in a form that needs no Keras, and how it was compared with Keras.

    The preprocessing is inside the graph: it takes grey levels and returns logits divided by `temperature`. In files of
    `zoo export` that is the release's temperature, so that a sigmoid of the logits is the probability; in exports that
    a release carries it is 1 (the release's in those of earlier versions). A calibrator or a prior shift of the
    decision is not in the graph.

    Attributes:
        format_version: Version of this file's form.
        format: Of the network.
        precision: Number type of the arithmetic; what int8 does not reach is computed in a floating-point type.
        model: Its name.
        members: Those in it.
        findings: Columns of the output, in order.
        image_size: Height and width in pixels.
        temperature: The divisor of the logits inside the graph: one number, or one a finding.
        input: What the network takes.
        output: What it gives.
        source: The release that it was made from.
        versions: Library -> version that made it.
        check: How it was compared with Keras.
        files: File -> size and sha256.
        acceptance: Of int8.
    """

    format_version: Annotated[int, Keywords(const=exports.EXPORT_VERSION)]
    format: exports.Format
    precision: exports.Precision
    model: Annotated[str, Keywords(maxLength=96)]
    members: _Names
    findings: _Names
    image_size: Annotated[int, Keywords(minimum=8, maximum=MAX_IMAGE_SIZE)]
    temperature: Annotated[
        tuple[Annotated[float, Keywords(exclusiveMinimum=0)], ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)
    ]
    input: Tensor
    output: Tensor
    source: Source
    versions: Annotated[Mapping[str, Annotated[str, Keywords(maxLength=80)]], Keywords(maxProperties=16)]
    check: KerasCheck
    files: Annotated[
        Mapping[str, Listed],
        Keywords(
            minProperties=1,
            maxProperties=MAX_FILES,
            propertyNames={"pattern": "^[A-Za-z0-9._/-]+$", "maxLength": 255},
        ),
    ]
    acceptance: Acceptance | None = field(default=None)
