"""What the small JSON files of a release hold, as types: their schemas are made from these.

The first line of each docstring is the schema's title, the paragraph below it the description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from zoo.config.json_schema import Keywords
from zoo.config.specs import FORMAT_VERSION, MAX_FINDINGS, MAX_MEMBERS, EnsembleSpec, Names
from zoo.evaluation.decision import Decision
from zoo.release import exports, golden

#: The files beside weights and card that a release is read from; the manifest lists them.
SMALL = ("config.json", "labels.json", "decision.json", "metrics.json", golden.LOGITS, golden.IMAGES)

#: More numbers than any network of the zoo has in one member, and more files than any release.
MAX_PARAMETERS, MAX_FILES = 1_000_000_000, 1000

DType = Literal["float32", "float16", "bfloat16"]
Count = Annotated[int, Keywords(minimum=0)]
Sha256 = Annotated[str, Keywords(pattern="^[0-9a-f]{64}$")]

_Version = Annotated[int, Keywords(minimum=1, maximum=FORMAT_VERSION)]
_FILE_NAME = {
    "pattern": f"^({exports.FOLDER}/{exports.INT8}/)?[A-Za-z0-9._-]+$",
    "maxLength": 255,
    "not": {"enum": [".", ".."]},
}


@dataclass(frozen=True)
class Config:
    """config.json: what the model is made of.

    Enough to rebuild the network from a library's own code: a registered name for each backbone and head, and typed
    numbers. No class names, no layer configurations, nothing that could run.

    Attributes:
        format_version: Version of the release folder's form. A reader refuses a newer one.
        ensemble: The network.
        zoo: Version of xrayslam-zoo that wrote the release.
        keras: Version of Keras that wrote the release.
    """

    format_version: _Version
    ensemble: EnsembleSpec
    zoo: str = ""
    keras: str = ""


@dataclass(frozen=True)
class Labels:
    """labels.json: the outputs, in order.

    What each column of the logits means. Labels are matched by name; the order is the order of the columns.

    Attributes:
        findings: Names of the outputs in the order of the columns; equal to ensemble.findings of config.json.
    """

    findings: Names


@dataclass(frozen=True)
class Decisions:
    """decision.json: from logits to calls.

    probability = sigmoid(logit / temperature), or what calibrator and prior_shift make of it; a finding is called
    positive where its probability is at or above its threshold. Temperature and thresholds are valid together, and only
    for the model they were fitted to: the ensemble has one decision, each member alone may have its own.

    Attributes:
        ensemble: The decision of all members together.
        members: Name of a member -> its own decision, for use without the others.
    """

    ensemble: Decision
    members: Annotated[Mapping[str, Decision], Keywords(maxProperties=MAX_MEMBERS)] = field(default_factory=dict)


@dataclass(frozen=True)
class Golden:
    """parity.json: golden logits.

    What the network gave on a few synthetic images when the release was written. Whoever rebuilds the network, on
    another backend or in another language, compares its logits on these images with these.

    Attributes:
        backend: Keras backend that computed the logits.
        images: Safetensors file of the images: one tensor 'images', uint8 (images, image_size, image_size, 1).
        tolerance: Largest absolute difference of a logit that float32 arithmetic explains.
        logits: 'ensemble' and each member's name -> logits before the temperature, (images, findings).
    """

    backend: str
    images: Literal["parity.safetensors"]
    tolerance: Annotated[float, Keywords(exclusiveMinimum=0, maximum=golden.LIMIT)]
    logits: Annotated[
        Mapping[
            str,
            Annotated[
                tuple[Annotated[tuple[float, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)], ...],
                Keywords(minItems=1, maxItems=golden.MAX_IMAGES),
            ],
        ],
        Keywords(required=["ensemble"], maxProperties=MAX_MEMBERS + 1),
    ]


@dataclass(frozen=True)
class Listed:
    """A file that a manifest lists.

    Attributes:
        size: Bytes.
        sha256: In hex digits.
    """

    size: Count
    sha256: Sha256


@dataclass(frozen=True)
class Storage:
    """How the weights are stored.

    Attributes:
        dtype: Number type of the floating-point weights in the files; they are computed with in float32.
        logit_error: Largest absolute change of a golden logit by rounding the weights to this type.
    """

    dtype: DType = "float32"
    logit_error: Annotated[float, Keywords(minimum=0)] = 0.0


@dataclass(frozen=True)
class SplitFacts:
    """How the table was split, and the hash of the result.

    Attributes:
        by: "patient", or what else rows of one part had in common.
        seed: Of the split.
        hash: Of the split's manifest.
    """

    by: str = ""
    seed: int = 0
    hash: str = ""


@dataclass(frozen=True)
class Provenance:
    """Where the weights come from.

    Attributes:
        recipe: Everything the training run was made of.
        split: How the table was split.
        seed: Of initial weights, dropout, order and augmentation.
        zoo: Version of xrayslam-zoo that trained.
        code: Commit or hash of the code that trained.
        keras: Version of Keras that trained.
        backend: Backend that trained.
        python: Version of Python that trained.
        date: ISO date.
    """

    recipe: Mapping[str, Any] = field(default_factory=dict)
    split: SplitFacts = field(default_factory=SplitFacts)
    seed: int = field(default_factory=int)
    zoo: str = ""
    code: str = ""
    keras: str = ""
    backend: str = ""
    python: str = ""
    date: str = ""


@dataclass(frozen=True)
class Manifest:
    """manifest.json: what belongs to the release, and where it came from.

    Size and sha256 of every other file. A reader opens no file before it has been checked against this list, and none
    that is not in it. README.md is listed as it was released, but people may edit it.

    Attributes:
        format_version: Version of the release folder's form. A reader refuses a newer one.
        parameters: Name of a member -> numbers in its weights.
        files: File name -> size and sha256. Files lie in one folder, but for an export, which has its own below
            'exports'.
        zoo: Version of xrayslam-zoo that wrote the release.
        license: SPDX name of the weights' licence; empty where none is stated.
        storage: How the weights are stored.
        provenance: Where the weights come from.
    """

    format_version: _Version
    parameters: Annotated[
        Mapping[str, Annotated[int, Keywords(minimum=0, maximum=MAX_PARAMETERS)]],
        Keywords(minProperties=1, maxProperties=MAX_MEMBERS),
    ]
    files: Annotated[
        Mapping[str, Listed], Keywords(required=[*SMALL], maxProperties=MAX_FILES, propertyNames=_FILE_NAME)
    ]
    zoo: str = ""
    license: str = ""
    storage: Storage = field(default_factory=Storage)
    provenance: Provenance = field(default_factory=Provenance)


#: Objects that later versions may add fields to; a field that is not known in any other is an error.
OPEN = (Config, Labels, Decisions, Golden, Listed, Storage, SplitFacts, Provenance, Manifest)
