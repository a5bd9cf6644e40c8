"""Types of an export's `export.json`, from which its schema is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from zoo.config.json_schema import Keywords
from zoo.config.specs import MAX_FINDINGS, MAX_IMAGE_SIZE, MAX_MEMBERS, MIN_IMAGE_SIZE, to_dict
from zoo.release import layout
from zoo.release.layout import MAX_FILES
from zoo.release.manifest import Count, Listed, Sha256

_Size = Annotated[float, Keywords(minimum=0)]
_Text = Annotated[str, Keywords(maxLength=400)]
_Names = Annotated[
    tuple[Annotated[str, Keywords(minLength=1, maxLength=200)], ...],
    Keywords(minItems=1, maxItems=MAX_FINDINGS, uniqueItems=True),
]
#: A part of a split; older files call the validation part "tune".
Part = Literal["validation", "test", "all", "tune"]
_Axis = Annotated[int, Keywords(minimum=1)] | Literal["n"]


@dataclass(frozen=True)
class Tensor:
    """An input or output of the network.

    Attributes:
        name: Name in the graph.
        dtype: Number type.
        shape: Length of each axis; "n" if any length is accepted.
        values: Meaning of the numbers.
    """

    name: Annotated[str, Keywords(maxLength=200)]
    dtype: Annotated[str, Keywords(maxLength=20)]
    shape: Annotated[tuple[_Axis, ...], Keywords(maxItems=8)]
    values: _Text


@dataclass(frozen=True)
class Source:
    """The release that an export was made from.

    Attributes:
        manifest_sha256: SHA-256 of the release's manifest.
        weights: Weights file of each member -> its sha256.
        reference: Hub reference of the release, or empty.
    """

    manifest_sha256: Sha256
    weights: Annotated[Mapping[str, Sha256], Keywords(minProperties=1, maxProperties=MAX_MEMBERS)]
    reference: _Text = ""


@dataclass(frozen=True)
class KerasCheck:
    """Comparison of an export's logits with those of Keras, on images generated for this, before it was written.

    Attributes:
        backend: Keras backend.
        films: Number of images.
        difference: Largest absolute difference of a logit.
        tolerance: Permitted difference; null for int8, which is accepted on radiographs instead, and for bfloat16,
            which is accepted by the three figures below.
        largest: Largest absolute logit.
        decisions_kept: Share of the decisions at thresholds that stay; null where there are none.
        decisions: Number of those decisions.
        probability: Largest change of a calibrated probability.
    """

    backend: Annotated[str, Keywords(maxLength=40)]
    films: Annotated[int, Keywords(minimum=1)]
    difference: _Size
    tolerance: Annotated[float | None, Keywords(minimum=0)]
    largest: _Size = field(default_factory=float)
    decisions_kept: Annotated[float | None, Keywords(minimum=0, maximum=1)] = None
    decisions: Count = field(default_factory=int)
    probability: Annotated[float | None, Keywords(minimum=0, maximum=1)] = None


@dataclass(frozen=True)
class ImagesOfPart:
    """Number and origin of a set of images.

    Attributes:
        films: Number of images.
        part: Part of the split, or 'all'; older files call the validation part 'tune'.
        split_hash: Hash of the split's manifest; empty if there is none.
    """

    films: Annotated[int, Keywords(minimum=1)]
    part: Part
    split_hash: Annotated[str, Keywords(maxLength=64)]


@dataclass(frozen=True)
class Figure:
    """A number with its interval and the number of images or decisions behind it."""

    value: float
    low: float | None
    high: float | None
    n: Annotated[int, Keywords(minimum=1)]
    positives: Count = field(default_factory=int)


@dataclass(frozen=True)
class Loss:
    """Loss of accuracy of int8 compared with float32.

    Attributes:
        auc_loss: Macro AUC of float32 minus macro AUC of int8, with a paired interval.
        decisions_kept: Share of threshold decisions that are unchanged.
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
    """Largest losses with which int8 is accepted."""

    auc_loss: Annotated[float, Keywords(const=layout.MAX_AUC_LOSS)]
    decisions_kept: Annotated[float, Keywords(const=layout.MIN_DECISIONS_KEPT)]


@dataclass(frozen=True)
class Acceptance:
    """Comparison of int8 with float32 on images that were not used for its calibration.

    Attributes:
        calibration: Images on which ranges of values were measured.
        compared: Images on which int8 and float32 were compared.
        limits: Largest losses with which int8 is accepted.
        runs: Number type of the parts that are not in int8 -> loss with this type.
        in_float: Parts of the network that are not in int8.
        notes: Notes for the reader.
    """

    calibration: ImagesOfPart
    compared: ImagesOfPart
    limits: Limits
    runs: Annotated[Mapping[str, Loss], Keywords(required=["float32"], propertyNames={"enum": ["float32", "bfloat16"]})]
    in_float: Annotated[tuple[_Text, ...], Keywords(maxItems=10000)] = ()
    notes: Annotated[tuple[Annotated[str, Keywords(maxLength=600)], ...], Keywords(maxItems=50)] = ()


@dataclass(frozen=True, kw_only=True)
class GraphFacts:
    """What is known of an export before it is written.

    Attributes:
        format_version: Version of the format of this file.
        format: Format of the network.
        precision: Number type of the arithmetic; parts that are not in int8 use a floating-point type.
        model: Name of the model.
        members: Names of the members in the network.
        findings: Names of the output columns, in order.
        image_size: Height and width in pixels.
        temperature: Divisor of the logits inside the graph: one number, or one per finding.
        input: Input of the network.
        output: Output of the network.
        source: Release from which the export was made.
        versions: Library -> version with which the export was made.
        untrained: Findings that no data trained: their logits mean nothing.
        features: Member -> number of its pooled features; only if the network returns these in place of logits.
    """

    format_version: Annotated[int, Keywords(const=layout.EXPORT_VERSION)] = layout.EXPORT_VERSION
    format: layout.Format
    precision: layout.Precision
    model: Annotated[str, Keywords(maxLength=96)]
    members: _Names
    findings: _Names
    image_size: Annotated[int, Keywords(minimum=MIN_IMAGE_SIZE, maximum=MAX_IMAGE_SIZE)]
    temperature: Annotated[
        tuple[Annotated[float, Keywords(exclusiveMinimum=0)], ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)
    ]
    input: Tensor
    output: Tensor
    source: Source
    versions: Annotated[Mapping[str, Annotated[str, Keywords(maxLength=80)]], Keywords(maxProperties=16)]
    untrained: Annotated[tuple[str, ...], Keywords(maxItems=MAX_FINDINGS)] = ()
    features: Annotated[Mapping[str, Annotated[int, Keywords(minimum=1)]], Keywords(maxProperties=MAX_MEMBERS)] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True)
class ExportFacts(GraphFacts):
    """export.json: a network in a format that does not need Keras, and its comparison with Keras.

    The graph includes the preprocessing: it takes grey levels and returns logits divided by `temperature`. In files of
    `zoo export` this is the release's temperature, so that the sigmoid of the logits is the probability. In exports
    included in a release it is 1 (in earlier versions the release's temperature). The graph does not include a
    calibrator or a prior shift.

    Attributes:
        check: Comparison with Keras.
        files: File -> size and sha256.
        acceptance: Comparison of int8 with float32; only for int8.
    """

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

    def to_json(self) -> dict[str, Any]:
        """Converts to JSON values, without the fields that only some exports have."""
        found = to_dict(self)
        return {key: value for key, value in found.items() if value not in (None, [], {})}
