"""Names of a release's files and the limits on what they hold, shared by their types, readers and writers."""

from __future__ import annotations

from typing import Final, Literal

from zoo.config.specs import MAX_IMAGE_SIZE

DType = Literal["float32", "float16", "bfloat16"]

#: Golden logits and their images.
LOGITS: Final = "parity.json"
IMAGES: Final = "parity.safetensors"

#: Above this difference of a golden logit the network is not the released one. TF32 and bfloat16 give less.
LIMIT = 0.25

#: Maximum number of golden images, and of bytes of their file with its header.
MAX_IMAGES = 16
MAX_BYTES = MAX_IMAGES * MAX_IMAGE_SIZE**2 + 2**16

#: Files beside weights and card that a release consists of; all are listed in the manifest.
SMALL = ("config.json", "labels.json", "decision.json", "metrics.json", LOGITS, IMAGES)

#: Upper limits that no member of a zoo network (parameters) and no release (files) reaches.
MAX_PARAMETERS, MAX_FILES = 1_000_000_000, 1000

Format = Literal["openvino", "onnx", "litert", "saved_model"]
Precision = Literal["float32", "bfloat16", "int8"]

#: The only export that a release may include: making int8 needs images in addition to the weights.
INT8 = "openvino-int8"

#: Folder of an export in a release, and its files, starting with the facts.
FOLDER, FACTS = "exports", "export.json"
FILES = (FACTS, "model.xml", "model.bin")

#: Version of the format of `export.json`.
EXPORT_VERSION = 1

#: Acceptance limits of int8: loss of macro AUC, and share of unchanged decisions.
MAX_AUC_LOSS, MIN_DECISIONS_KEPT = 0.002, 0.99

#: Most that a golden logit of an int8 export may be said to differ by. A load allows what the export states, so that
#: without this limit a release could state that any network is its own.
MAX_INT8_DIFFERENCE = 10.0
