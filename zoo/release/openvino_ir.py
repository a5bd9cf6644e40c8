"""Checks OpenVINO's IR (`model.xml`, constants in `model.bin`) before OpenVINO opens it.

An IR is a program for a C++ library. An untrusted one is accepted if it consists of operations that a chest X-ray
network needs, takes its constants from its own file, and has the sizes that it declares. Nothing is read from other
files, no extension is loaded, and no entity is expanded.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.parsers import expat

from zoo.core.errors import ReleaseError

#: Maximum size of `model.xml` in bytes; three quantised backbones take 4 million.
MAX_XML_BYTES = 64 * 2**20

#: Limits above any network of the zoo: layers, characters of an attribute, axes of a tensor, numbers in a tensor.
MAX_LAYERS, MAX_ATTRIBUTE, MAX_AXES, MAX_NUMBERS = 100_000, 2**16, 8, 2**28

#: Operations of the standard opsets in exported networks. None of them reads a file, loops, or calls other code.
# fmt: off
OPERATIONS = frozenset((
    "Abs", "Add", "AvgPool", "Clamp", "Concat", "Const", "Convert", "Convolution", "Divide", "Elu", "Erf",
    "Exp", "FakeQuantize", "Gelu", "GroupConvolution", "HSigmoid", "HSwish", "HardSigmoid", "Identity", "Log",
    "MatMul", "MaxPool", "Maximum", "Minimum", "Multiply", "MVN", "Negative", "Pad", "Parameter", "Power",
    "PRelu", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "ReLU", "Reshape", "Result", "Sigmoid",
    "SoftMax", "SoftPlus", "Split", "Sqrt", "Squeeze", "Subtract", "Swish", "Tanh", "Transpose", "Unsqueeze",
    "VariadicSplit",
))
# fmt: on

#: Operations that take nothing; all others take something.
_SOURCES = ("Const", "Parameter")

#: Bits per number of a constant, by element type.
_BITS = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16, "i64": 64, "i32": 32, "i8": 8, "u8": 8, "boolean": 8}

#: Entries that an export writes to `rt_info`; all others, such as options of the runtime, are refused.
FACTS = ("model", "members", "findings", "image_size", "temperature", "source", "versions")

#: Element -> permitted parent elements.
_PARENTS = {
    "net": "",
    "layers": "net",
    "edges": "net",
    "edge": "edges",
    "layer": "layers",
    "data": "layer",
    "input": "layer",
    "output": "layer",
    "port": "input output",
    "dim": "port",
    "rt_info": "net",
    "zoo": "rt_info",
    **dict.fromkeys(FACTS, "zoo"),
}

_OPSET = re.compile(r"opset([1-9]|1\d)")


def check(xml: Path, bin_size: int, image_size: int, findings: int) -> None:
    """Refuses an IR that does not have the form of an export by this library.

    Args:
        xml: Path of `model.xml`, whose size and hash are already checked.
        bin_size: Size of `model.bin` in bytes.
        image_size: Height and width of the single input, uint8 (1, image_size, image_size, 1).
        findings: Number of columns of the single output, float32 (1, findings).

    Raises:
        ReleaseError: The IR is refused; states the reason.
    """
    if (size := xml.stat().st_size) > MAX_XML_BYTES:
        raise ReleaseError(f"{xml}: {size:,} bytes are too many for a model.xml (at most {MAX_XML_BYTES:,})")
    reader = _Reader(bin_size)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = reader.start, reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = reader.declaration
    parser.ProcessingInstructionHandler = reader.instruction
    try:
        parser.Parse(xml.read_bytes(), True)
        reader.finish((1, image_size, image_size, 1), (1, findings))
    except expat.ExpatError as error:
        raise ReleaseError(f"{xml}: not readable as XML: {error}") from None
    except _RefusedError as error:
        raise ReleaseError(f"{xml}: {error}; it is not loaded") from None


class _RefusedError(ValueError):
    """Reason for refusing an IR, without the file name."""


class _Reader:
    """Processes each element once and keeps only what the final checks need."""

    def __init__(self, bin_size: int) -> None:
        self.bin_size = bin_size
        self.path: list[str] = []
        self.layers = 0
        self.layer: Mapping[str, str] = {}
        self.taken = 0  # inputs of the layer
        self.shape: list[int] = []
        self.digits = ""
        self.inputs: list[tuple[str, tuple[int, ...]]] = []
        self.outputs: list[tuple[int, ...]] = []

    def declaration(self, *_: Any) -> None:
        raise _RefusedError("it declares a document type or an entity, which no IR does")

    def instruction(self, *_: Any) -> None:
        raise _RefusedError("it holds a processing instruction, which no IR does")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        parent = self.path[-1] if self.path else ""
        if tag not in _PARENTS or (parent not in _PARENTS[tag].split() and (parent or _PARENTS[tag])):
            raise _RefusedError(f"element {_shown(tag)} in {_shown(parent or 'the document')} is not one of an IR")
        if any(len(value) > MAX_ATTRIBUTE for value in attributes.values()):
            raise _RefusedError(f"an attribute of {tag} has more than {MAX_ATTRIBUTE:,} characters")
        self.path.append(tag)
        if tag == "layer":
            self._start_layer(attributes)
        elif tag == "data":
            self._data(attributes)
        elif tag == "port":
            self.shape, self.taken = [], self.taken + (parent == "input")
        elif tag == "dim":
            self.digits = ""

    def text(self, data: str) -> None:
        if self.path[-1:] == ["dim"]:
            self.digits += data
        elif data.strip():
            raise _RefusedError("text stands where an IR has none")

    def end(self, tag: str) -> None:
        self.path.pop()
        if tag == "dim":
            self.shape.append(_number(self.digits.strip(), "a dim"))
            if len(self.shape) > MAX_AXES or math.prod(self.shape) > MAX_NUMBERS:
                raise _RefusedError(f"a tensor has more than {MAX_AXES} axes or {MAX_NUMBERS:,} numbers")
        elif tag == "port" and self.layer.get("type") == "Result":
            self.outputs.append(tuple(self.shape))
        elif tag == "layer" and (self.layer["type"] in _SOURCES) == (self.taken > 0):
            # OpenVINO 2026.4 ends the process at a pooling without an input.
            some = "an input" if self.taken else "no input"
            raise _RefusedError(f"operation {self.layer['type']} has {some}")

    def finish(self, image: Sequence[int], logits: Sequence[int]) -> None:
        if self.inputs != [("u8", tuple(image))]:
            raise _RefusedError(f"its input must be uint8 {tuple(image)} alone, got {self.inputs[:3]}")
        if self.outputs != [tuple(logits)]:
            raise _RefusedError(f"its output must be {tuple(logits)} alone, got {self.outputs[:3]}")

    def _start_layer(self, attributes: dict[str, str]) -> None:
        self.layer, self.layers, self.taken = attributes, self.layers + 1, 0
        kind, version = attributes.get("type", ""), attributes.get("version", "")
        if kind not in OPERATIONS:
            raise _RefusedError(f"operation {_shown(kind)} is not one that an export uses")
        if not _OPSET.fullmatch(version):
            raise _RefusedError(f"operation {kind} is of {_shown(version or 'no opset')}, not of a standard opset")
        if self.layers > MAX_LAYERS:
            raise _RefusedError(f"it has more than {MAX_LAYERS:,} layers")

    def _data(self, attributes: dict[str, str]) -> None:
        kind = self.layer["type"]
        if kind == "Parameter":
            self.inputs.append((attributes.get("element_type", ""), _shape(attributes)))
        if kind != "Const":
            return
        if set(attributes) != {"element_type", "shape", "offset", "size"}:
            raise _RefusedError(f"a constant must say type, shape, offset and size alone, got {sorted(attributes)[:6]}")
        offset, size = (_number(attributes[key], f"a constant's {key}") for key in ("offset", "size"))
        bits = _BITS.get(attributes["element_type"])
        if bits is None or size * 8 != math.prod(_shape(attributes)) * bits:
            raise _RefusedError(f"a constant of {size:,} bytes is no {_shown(str(attributes))}")
        if offset + size > self.bin_size:
            raise _RefusedError(f"a constant ends at {offset + size:,}, beyond model.bin ({self.bin_size:,} bytes)")


def _shape(attributes: Mapping[str, str]) -> tuple[int, ...]:
    return tuple(_number(part, "a shape") for part in attributes.get("shape", "").split(",") if part.strip())


def _number(text: str, what: str) -> int:
    if not re.fullmatch(r"\s*\d{1,18}\s*", text):
        raise _RefusedError(f"{what} must be a whole number >= 0, got {_shown(text)}")
    return int(text)


def _shown(text: str) -> str:
    return repr(text)[:80]
