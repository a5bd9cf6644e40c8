"""One writer for each format of an export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.core.errors import MissingExtraError
from zoo.export import keras_formats
from zoo.export.exporting import Writer
from zoo.release import openvino_ir

if TYPE_CHECKING:
    import onnx

    from zoo.models.ensemble import Ensemble


def writer(format: str, precision: str, facts: Mapping[str, Any], batch: int | None = None) -> Writer:
    """What writes the files of a format; see `zoo.export.exporting.export`.

    Args:
        format: Of `FORMATS`.
        precision: Of `FORMATS`.
        facts: Of the export, to be repeated in the file itself.
        batch: Films at once where the graph shall take no other number.
    """
    if format == "openvino":
        return lambda model, found, folder: _openvino(model, folder, precision, facts, batch)
    if format == "onnx":
        return lambda model, found, folder: _onnx(model, folder, facts, batch)
    return lambda model, found, folder: keras_formats.convert(found, facts, folder)


def graph_of(model: Ensemble, facts: Mapping[str, Any], half: bool = False) -> onnx.ModelProto:
    """The network as an ONNX graph that carries its facts."""
    _require("onnx")
    from zoo.export.onnx.model import to_onnx

    return to_onnx(model, facts["image_size"], facts["temperature"], metadata(facts), half=half)


def metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    """What the file itself says of the export, as text."""
    return {key: value if isinstance(value := facts[key], str) else json.dumps(value) for key in openvino_ir.FACTS}


def to_openvino(graph: onnx.ModelProto, batch: int | None = None) -> Any:
    """The same graph as an `openvino.Model`, for a batch of any size or of this one alone."""
    from zoo.runtimes.openvino_runtime import core

    model = core().read_model(graph.SerializeToString())
    if batch is not None:
        model.reshape([batch, *(d.get_length() for d in list(model.input(0).get_partial_shape())[1:])])
        # With the shapes known, what asks for them is a constant.
        from openvino.passes import ConstantFolding, Manager

        passes = Manager()
        passes.register_pass(ConstantFolding())
        passes.run_passes(model)
    return model


def save_openvino(model: Any, folder: Path, facts: Mapping[str, Any]) -> Path:
    """Writes `model.xml` and `model.bin`; returns the first."""
    from zoo.runtimes.openvino_runtime import openvino

    path = folder / "model.xml"
    openvino().save_model(model, path, compress_to_fp16=False)
    _say(path, metadata(facts))
    return path


def _openvino(
    model: Ensemble, folder: Path, precision: str, facts: Mapping[str, Any], batch: int | None
) -> Callable[[np.ndarray], np.ndarray]:
    _require("openvino")
    from zoo.runtimes.openvino_runtime import OpenVinoRuntime

    graph = to_openvino(graph_of(model, facts, half=precision == "bfloat16"), batch)
    path = save_openvino(graph, folder, facts)
    return OpenVinoRuntime(path, precision).outputs


def _onnx(
    model: Ensemble, folder: Path, facts: Mapping[str, Any], batch: int | None
) -> Callable[[np.ndarray], np.ndarray]:
    _require("onnxruntime")
    from zoo.runtimes.onnx_runtime import OnnxRuntime

    path = folder / "model.onnx"
    path.write_bytes(graph_of(model, facts).SerializeToString())
    return OnnxRuntime(path).outputs


def _say(path: Path, said: Mapping[str, str]) -> None:
    """Puts the facts in the place of what OpenVINO and its tools note of themselves, where an IR has such things."""
    from xml.sax.saxutils import quoteattr

    text = path.read_text("utf-8")
    facts = "".join(f"\t\t\t<{key} value={quoteattr(value)} />\n" for key, value in said.items())
    path.write_text(
        f"{text[: text.rindex('<rt_info>')]}<rt_info>\n\t\t<zoo>\n{facts}\t\t</zoo>\n\t</rt_info>\n</net>\n", "utf-8"
    )


def _require(library: str) -> None:
    from importlib.util import find_spec

    if find_spec(library) is None:
        raise MissingExtraError("this format", library, "serve")
