"""One writer for each format of an export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.config.specs import to_dict
from zoo.core.errors import MissingExtraError
from zoo.export import keras_formats
from zoo.release import openvino_ir
from zoo.release.export_facts import GraphFacts
from zoo.release.folder import ReleaseFolder

if TYPE_CHECKING:
    import onnx

    from zoo.models.ensemble import Ensemble

#: Runs what was written: uint8 (n, image_size, image_size, 1) images -> float32 (n, findings), the file's own output.
Run = Callable[[np.ndarray], np.ndarray]

#: Writes the files of one format. Called with the network, its release and the folder to fill.
Writer = Callable[["Ensemble", ReleaseFolder, Path], Run]


def writer(facts: GraphFacts, batch: int | None = None) -> Writer:
    """Returns the function that writes the files of a format; see `zoo.export.exporting.export`.

    Args:
        facts: What `export.json` will say, with format and precision; some of it is repeated in the file itself.
        batch: Number of images in a call, where the graph is to take no other; None for any.
    """
    if facts.format == "openvino":
        return lambda model, found, folder: _openvino(model, folder, facts, batch)
    if facts.format == "onnx":
        return lambda model, found, folder: _onnx(model, folder, facts)
    return lambda model, found, folder: keras_formats.convert(found, facts, folder)


def graph_of(model: Ensemble, facts: GraphFacts, half: bool = False) -> onnx.ModelProto:
    """The network as an ONNX graph with its facts, its logits divided by the temperature that the facts state."""
    _require("onnx")
    from zoo.export.onnx.model import to_onnx

    output = facts.output.name
    return to_onnx(model, facts.image_size, facts.temperature, metadata(facts), half=half, output=output)


def metadata(facts: GraphFacts) -> dict[str, str]:
    """The facts that the file itself repeats, as text."""
    values = to_dict(facts)
    return {key: v if isinstance(v := values[key], str) else json.dumps(v) for key in openvino_ir.FACTS}


def to_openvino(graph: onnx.ModelProto, batch: int | None = None) -> Any:
    """The same graph as an `openvino.Model`, for batches of any size or of this size alone."""
    from zoo.runtimes.openvino_runtime import core

    model = core().read_model(graph.SerializeToString())
    if batch is not None:
        model.reshape([batch, *(d.get_length() for d in list(model.input(0).get_partial_shape())[1:])])
        # With the shapes known, the operations that ask for them become constants.
        from openvino.passes import ConstantFolding, Manager

        passes = Manager()
        passes.register_pass(ConstantFolding())
        passes.run_passes(model)
    return model


def save_openvino(model: Any, folder: Path, facts: GraphFacts) -> Path:
    """Writes `model.xml` and `model.bin`; returns the first."""
    from zoo.runtimes.openvino_runtime import openvino

    path = folder / "model.xml"
    openvino().save_model(model, path, compress_to_fp16=False)
    _say(path, metadata(facts))
    return path


def _openvino(model: Ensemble, folder: Path, facts: GraphFacts, batch: int | None) -> Run:
    _require("openvino")
    from zoo.runtimes.openvino_runtime import OpenVinoRuntime

    graph = to_openvino(graph_of(model, facts, half=facts.precision == "bfloat16"), batch)
    path = save_openvino(graph, folder, facts)
    return OpenVinoRuntime(path, facts.precision).logits


def _onnx(model: Ensemble, folder: Path, facts: GraphFacts) -> Run:
    _require("onnxruntime")
    from zoo.runtimes.onnx_runtime import OnnxRuntime

    path = folder / "model.onnx"
    path.write_bytes(graph_of(model, facts).SerializeToString())
    return OnnxRuntime(path).logits


def _say(path: Path, said: Mapping[str, str]) -> None:
    """Replaces the notes that OpenVINO and its tools leave in an IR (`rt_info`) by the export's facts."""
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
