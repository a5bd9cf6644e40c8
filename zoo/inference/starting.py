"""Starts the requested runtime with the model of a release."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file

from zoo.core import compilation, home
from zoo.core.errors import ExportError, MissingExtraError, ReleaseError, UnknownNameError, UsageError
from zoo.core.files import content_key, write_text
from zoo.core.process import processor, require_own_process
from zoo.core.quiet import quiet_start
from zoo.export import exporting, graph_cache
from zoo.inference import choosing
from zoo.names import sources
from zoo.release import exports, golden, layout
from zoo.release.build import build_model
from zoo.release.exports import Export
from zoo.release.folder import ReleaseFolder
from zoo.release.layout import INT8
from zoo.release.manifest import to_json
from zoo.runtimes.runtime import KerasRuntime, Runtime

RuntimeName = Literal["keras", "openvino", "onnx"]
Choice = Literal["float32", "bfloat16", "int8", "auto"]


@dataclass(frozen=True)
class LoadOptions:
    """How to load a model: the arguments of `zoo.load` except the name, with the same meaning.

    Attributes:
        runtime: "keras", "openvino" or "onnx".
        precision: "float32", "bfloat16", "int8" or "auto".
        members: Names of the members to load; None for all.
        force_download: Whether to download files again that are already in the Hub cache.
        by_auto: Whether "auto" chose the precision, so that where it cannot be had the next more exact one will do.

    Raises:
        UnknownNameError: There is no such runtime or precision.
        UsageError: The runtime does not support the precision.

    Example:
        >>> LoadOptions(runtime="openvino", precision="bfloat16").members is None
        True
    """

    runtime: RuntimeName = "keras"
    precision: Choice = "float32"
    members: tuple[str, ...] | None = None
    force_download: bool = False
    by_auto: bool = False

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise UnknownNameError("runtime", self.runtime, RUNTIMES)
        known = {kind for kinds in RUNTIMES.values() for kind in kinds}
        if self.precision not in known:
            raise UnknownNameError("precision", self.precision, known)
        if self.precision not in RUNTIMES[self.runtime]:
            able = " or ".join(name for name, kinds in RUNTIMES.items() if self.precision in kinds)
            raise UsageError(f"runtime {self.runtime!r} does not compute in {self.precision!r}: use runtime {able}")

    def settled(self, precision: str) -> LoadOptions:
        """Returns options that load the same model again: with the precision that "auto" chose, and no new download."""
        by_auto = self.by_auto or self.precision == "auto"
        return replace(self, precision=precision, force_download=False, by_auto=by_auto)  # type: ignore[arg-type]


#: Runtime -> precisions that it supports.
RUNTIMES: dict[str, tuple[str, ...]] = {
    "keras": ("float32", "auto"),
    "openvino": ("float32", "bfloat16", "int8", "auto"),
    "onnx": ("float32", "auto"),
}

#: Runtime -> its Python library.
_LIBRARIES = {"openvino": "openvino", "onnx": "onnxruntime"}

#: int8 may be rounded differently on another CPU: a golden logit may differ by this much more than where the export was
#: made.
INT8_SLACK = 0.25


@quiet_start()
def start(name: str | Path, options: LoadOptions) -> tuple[Runtime, ReleaseFolder]:
    """Returns the runtime and the release that it runs; raises the errors of `zoo.load`."""
    require_own_process()
    runtime, precision, members = options.runtime, options.precision, options.members
    library = _LIBRARIES.get(runtime)
    if library and find_spec(library) is None:
        raise MissingExtraError(f"runtime {runtime!r}", library, "serve")
    if runtime == "keras":
        found = sources.find(name, members, force_download=options.force_download)
        model = build_model(found, members)
        keras = KerasRuntime(model)
        with compilation.kept():
            # Uses the default batch size of `predict`, so that no shape is compiled only for the check.
            golden.check(found, model, lambda images: keras.logits(images, keras.batch_size))
        return keras, found
    # If the graph is cached, neither the weights nor Keras are needed.
    wanted = (INT8,) if runtime == "openvino" and precision in ("int8", "auto") else ()
    found = sources.find(name, (), exports=wanted, force_download=options.force_download)
    for member in members or ():
        found.spec.member(member)
    if runtime == "onnx":
        from zoo.runtimes.onnx_runtime import OnnxRuntime

        graph = _graph(name, found, members, "onnx", "float32")
        return OnnxRuntime(graph.folder / "model.onnx"), found
    if precision == "auto" or options.by_auto:

        def start_in(kind: str) -> Runtime:
            return openvino(name, found, members, kind)

        best = choosing.fastest(found, members, start_in) if precision == "auto" else precision
        return choosing.started(best, start_in), found
    return openvino(name, found, members, precision), found


def openvino(name: str | Path, found: ReleaseFolder, members: Sequence[str] | None, precision: str) -> Runtime:
    """Starts a release in OpenVINO.

    Raises:
        ValueError: This CPU does not support bfloat16.
        ReleaseError: There is no accepted int8 export.
        ExportError: The logits in this precision differ from those of Keras, or those of int8 from its recorded ones.
    """
    from zoo.runtimes.openvino_runtime import native

    _require_native(precision)
    rest = "float32"
    if precision == "int8":
        graph = int8(found, members)
        if "bfloat16" in native() and graph.facts.acceptance and "bfloat16" in graph.facts.acceptance.runs:
            rest = "bfloat16"
    else:
        graph = _graph(name, found, members, "openvino", precision)
    started = _in_openvino(graph, precision, rest)
    if precision == "int8":
        _hold_against_golden(found, graph, started, rest)
    return started


def _require_native(precision: str) -> None:
    if precision != "bfloat16":
        return
    from zoo.runtimes.openvino_runtime import native

    if precision not in native():
        raise UsageError("this CPU does not compute in bfloat16: use precision 'float32' or 'auto'")


@quiet_start()
def start_features(name: str, options: LoadOptions) -> tuple[Runtime, dict[str, int]]:
    """Returns a runtime of the pooled features of a release on "openvino" or "onnx", and the sizes by member.

    Raises:
        UsageError: The precision is int8, for which there is no graph of the features, and "auto" did not choose it.
        ExportError: The features differ from those of Keras.
    """
    found, members, format = sources.find(name, ()), options.members, options.runtime
    assert format != "keras"

    def start_in(precision: str) -> tuple[Runtime, dict[str, int]]:
        if precision == "int8":
            raise UsageError("there is no int8 graph of the features: load the model in float32 or bfloat16")
        _require_native(precision)
        graph = _graph(name, found, members, format, precision, "features")
        if format == "openvino":
            return _in_openvino(graph, precision), dict(graph.facts.features)
        from zoo.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(graph.folder / "model.onnx"), dict(graph.facts.features)

    return choosing.started(options.precision, start_in) if options.by_auto else start_in(options.precision)


def _in_openvino(graph: Export, precision: str, rest: str = "float32") -> Runtime:
    from zoo.runtimes.openvino_runtime import OpenVinoRuntime

    with graph_cache.compiled(graph) as compiled:
        path = graph.folder / "model.xml"
        return OpenVinoRuntime(path, precision, rest=rest, divisor=graph.temperature, compiled=compiled)


def int8(found: ReleaseFolder, members: Sequence[str] | None = None) -> Export:
    """Returns the accepted int8 export of a release: the one in the release, or one made on this machine.

    Raises:
        ReleaseError: There is none, or it contains something that a release may not carry.
    """
    if members is not None and {*members} != {m.name for m in found.spec.members}:
        raise ReleaseError("int8 was accepted for all members together: leave members out, or use another precision")
    if INT8 in found.exports:
        return exports.check_carried(found.folder, found.files, found.spec, found.decision.temperature, root=found.root)
    made = graph_cache.peek(graph_cache.folder_of(found, None, "openvino", "int8"))
    if made is None:
        raise ReleaseError(
            f"{found.source or found.folder}: carries no accepted int8 export; "
            "'zoo export NAME --format openvino --precision int8 --data DIR' makes one"
        )
    exports.check_accepted(made.facts, made.folder)
    return made


def _graph(
    name: str | Path,
    found: ReleaseFolder,
    members: Sequence[str] | None,
    format: layout.Format,
    precision: Any,
    values: exporting.Values = "logits",
) -> Export:
    """Returns a graph from the cache, where it is first made from the weights if it is missing."""

    def make(folder: Path) -> None:
        # Uses the same commit, since the branch may have moved.
        whole = sources.find(found.source or name, members)
        batch = 1 if format == "openvino" else None
        options: Any = {"members": members, "batch": batch, "calibrated": False, "values": values}
        exporting.export(whole, folder, format, precision, **options)

    return graph_cache.obtain(graph_cache.folder_of(found, members, format, precision, values), make)


def _hold_against_golden(found: ReleaseFolder, graph: Export, started: Any, rest: str) -> None:
    """Compares the logits of an int8 network made elsewhere with the recorded ones, once per set of versions."""
    facts = (found.manifest_sha256, to_json(graph.facts.files), rest, exporting.versions(), processor())
    seen = home.home() / "checked" / content_key(facts)
    if seen.exists():
        return
    images = load_file(found.folder / layout.IMAGES)["images"]
    difference = float(np.abs(started.logits(images) - golden.logits_of(found)).max())
    allowed = graph.facts.check.difference * max(graph.temperature) + INT8_SLACK
    if not difference <= allowed:
        raise ExportError(
            f"{graph.folder}: on this CPU a golden logit of the int8 network is {difference:.2g} off, "
            f"where it was made {graph.facts.check.difference:.2g}: use precision 'float32' or 'auto'"
        )
    with suppress(OSError):
        write_text(seen, f"{difference:.3g}\n")
