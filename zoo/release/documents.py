"""Types of the small JSON files in a release, from which their schemas are generated.

The first line of each docstring becomes the schema's title, the next paragraph its description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from zoo.config.json_schema import Keywords
from zoo.config.specs import FORMAT_VERSION, MAX_FINDINGS, MAX_MEMBERS, EnsembleSpec, Names
from zoo.config.weighting import check_stored
from zoo.evaluation.decision import Decision
from zoo.release.layout import FOLDER, INT8, LIMIT, MAX_FILES, MAX_IMAGES, MAX_PARAMETERS, SMALL, DType
from zoo.release.manifest import Listed

_Version = Annotated[int, Keywords(minimum=1, maximum=FORMAT_VERSION)]
_FILE_NAME = {
    "pattern": f"^({FOLDER}/{INT8}/)?[A-Za-z0-9._-]+$",
    "maxLength": 255,
    "not": {"enum": [".", ".."]},
}


@dataclass(frozen=True)
class Config:
    """config.json: specification of the model.

    Sufficient to rebuild the network from a library's own code: a registered name for each backbone and head, and typed
    numbers. It contains no class names, no layer configurations, and nothing that could be executed.

    Attributes:
        format_version: Version of the release format. A reader refuses a newer one.
        ensemble: The network.
        zoo: Version of xrayslam-zoo that wrote the release.
        keras: Version of Keras that wrote the release.
    """

    format_version: _Version
    ensemble: EnsembleSpec
    zoo: str = ""
    keras: str = ""

    def __post_init__(self) -> None:
        check_stored(self.ensemble.weighting)


@dataclass(frozen=True)
class Labels:
    """labels.json: the outputs, in order.

    Meaning of each column of the logits. Labels are matched by name; their order is that of the columns.

    Attributes:
        findings: Names of the outputs in the order of the columns; equal to ensemble.findings of config.json.
    """

    findings: Names


@dataclass(frozen=True)
class Decisions:
    """decision.json: from logits to calls.

    probability = sigmoid(logit / temperature), possibly changed by calibrator and prior_shift; a finding is called
    positive if its probability is at or above its threshold. Temperature and thresholds are valid only together and
    only for the model they were fitted to. The ensemble has one decision, and each member may have its own.

    Attributes:
        ensemble: The decision of all members together.
        members: Name of a member -> its own decision, for use without the other members.
    """

    ensemble: Decision
    members: Annotated[Mapping[str, Decision], Keywords(maxProperties=MAX_MEMBERS)] = field(default_factory=dict)


@dataclass(frozen=True)
class Golden:
    """parity.json: golden logits.

    Logits of the network on a few synthetic images when the release was written. After rebuilding the network on
    another backend or in another language, compare its logits on these images with these values.

    Attributes:
        backend: Keras backend that computed the logits.
        images: Safetensors file of the images: one tensor 'images', uint8 (images, image_size, image_size, 1).
        tolerance: Largest absolute difference of a logit that float32 arithmetic explains.
        logits: 'ensemble' and each member's name -> logits before the temperature, (images, findings).
    """

    backend: str
    images: Literal["parity.safetensors"]
    tolerance: Annotated[float, Keywords(exclusiveMinimum=0, maximum=LIMIT)]
    logits: Annotated[
        Mapping[
            str,
            Annotated[
                tuple[Annotated[tuple[float, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS)], ...],
                Keywords(minItems=1, maxItems=MAX_IMAGES),
            ],
        ],
        Keywords(required=["ensemble"], maxProperties=MAX_MEMBERS + 1),
    ]


@dataclass(frozen=True)
class Storage:
    """How the weights are stored.

    Attributes:
        dtype: Number type of the floating-point weights in the files; computations use float32.
        logit_error: Largest absolute change of a golden logit caused by rounding the weights to this type.
    """

    dtype: DType = "float32"
    logit_error: Annotated[float, Keywords(minimum=0)] = 0.0


@dataclass(frozen=True)
class TrainingData:
    """The data of the training run.

    Attributes:
        name: Name of the data set, "" if none is stated.
    """

    name: str = ""


@dataclass(frozen=True)
class SplitFacts:
    """How the table was split, and the hash of the resulting split.

    Attributes:
        by: Unit of the split: "patient", or another unit that keeps rows in the same part.
        seed: Seed of the split.
        hash: Hash of the split's manifest.
    """

    by: str = ""
    seed: int = 0
    hash: str = ""


@dataclass(frozen=True)
class PortFacts:
    """What is known of weights that others published; stored in the manifest under `provenance.port`.

    Attributes:
        origin: The people and the page.
        source: Address or name of the file.
        sha256: Its SHA-256; "" if it is made of several.
        kind: Kind of file.
        licence: SPDX name, or "unknown": such a release is never published.
        data: What the weights were trained on.
        citation: BibTeX.
        point: Name of the authors' operating point, or "".
        thresholds: Its thresholds on the probability, one a finding.
        unverified: What this project could not verify.
        reported: Sentences on AUCs that somebody measured.
        notes: Further sentences.
    """

    origin: str = ""
    source: str = ""
    sha256: str = ""
    kind: str = ""
    licence: str = "unknown"
    data: str = ""
    citation: str = ""
    point: str = ""
    thresholds: tuple[float | None, ...] = ()
    unverified: tuple[str, ...] = ()
    reported: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provenance:
    """Origin of the weights.

    Attributes:
        data: The data of the training run.
        recipe: Complete recipe of the training run.
        split: How the table was split.
        seed: Seed of initial weights, dropout, order and augmentation.
        zoo: Version of xrayslam-zoo used for training.
        code: Commit or hash of the code used for training.
        keras: Version of Keras used for training.
        backend: Keras backend used for training.
        python: Version of Python used for training.
        date: Date in ISO format.
        port: What is known of weights that others published; null for weights of a training run.
    """

    data: TrainingData = field(default_factory=TrainingData)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    split: SplitFacts = field(default_factory=SplitFacts)
    seed: int = field(default_factory=int)
    zoo: str = ""
    code: str = ""
    keras: str = ""
    backend: str = ""
    python: str = ""
    date: str = ""
    port: PortFacts | None = field(default=None)


@dataclass(frozen=True)
class Manifest:
    """manifest.json: files of the release, and the origin of the weights.

    Lists size and sha256 of every other file. A reader checks each file against this list before opening it, and opens
    no file that is not listed. README.md is listed as released, but people may edit it.

    Attributes:
        format_version: Version of the release format. A reader refuses a newer one.
        parameters: Name of a member -> number of values in its weights.
        files: File name -> size and sha256. Files are in one folder, except those of exports, which have a folder each
            in 'exports'.
        zoo: Version of xrayslam-zoo that wrote the release.
        license: SPDX name of the weights' licence; empty if none is stated.
        storage: How the weights are stored.
        provenance: Origin of the weights.
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


#: Objects that later versions may add fields to; an unknown field in any other object is an error.
OPEN = (Config, Labels, Decisions, Golden, Listed, Storage, TrainingData, SplitFacts, PortFacts, Provenance, Manifest)
