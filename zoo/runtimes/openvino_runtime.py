"""OpenVINO as a runtime: one image per request, and as many requests at once as there are streams."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from zoo.core.errors import ReleaseError
from zoo.core.process import require_own_process


def openvino() -> Any:
    """The library. Its import would tell its makers so over the network, from a fork of this process: not from here."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


#: Held for the first request of each model: see `OpenVinoRuntime._first_request`.
_FIRST_REQUEST = threading.Lock()


@cache
def core() -> Any:
    """The process' one `Core`, which is never dropped.

    Its CPU plugin gives the calling thread a signal stack and takes it back when it goes. Of two plugins the first to
    go leaves the other a stack to restore that is no longer mapped: the next signal, be it Ctrl-C, ends the process.
    """
    kept = openvino().Core()
    kept.get_versions("CPU")  # loads the plugin: before any that others make, so that theirs lie within
    return kept


@cache
def native() -> frozenset[str]:
    """Number types that this CPU computes in by itself: of "float32", "bfloat16" and "int8"."""
    has = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names = {"FP32": "float32", "BF16": "bfloat16", "INT8": "int8"}
    return frozenset(names[name] for name in has if name in names)


class OpenVinoRuntime:
    """An exported graph in OpenVINO, on the CPU.

    Args:
        path: `model.xml`, with `model.bin` beside it; their hashes were verified before.
        precision: "float32", "bfloat16" or "int8": what the export is.
        rest: Number type of the layers that int8 leaves in floating point.
        divisor: What the graph divides its logits by, to be undone: one number, or one a finding. int8 exports of
            earlier versions have one; graphs of today give the logits as they are.
        compiled: Folder where OpenVINO keeps what it compiled, or None.

    Raises:
        ReleaseError: OpenVINO cannot load it.
    """

    name = "openvino"

    def __init__(
        self,
        path: Path,
        precision: str = "float32",
        *,
        rest: str = "float32",
        divisor: Sequence[float] = (1.0,),
        compiled: Path | None = None,
    ) -> None:
        self.precision = precision
        self._divisor = None if set(divisor) == {1.0} else np.asarray(divisor, np.float32)
        # OpenVINO would take bfloat16 by itself where the CPU has it.
        kind = "bf16" if "bfloat16" in (precision, rest) else "f32"
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": kind}
        if compiled is not None:
            options["CACHE_DIR"] = str(compiled)
        try:
            self._model = core().compile_model(str(path), "CPU", options)
        except RuntimeError as error:
            raise ReleaseError(f"{path}: OpenVINO cannot load it: {str(error).splitlines()[-1][:300]}") from None
        self._requests = threading.local()
        requests = int(self._model.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self._pool = ThreadPoolExecutor(requests)
        # The last images of a batch leave some streams idle: the longer it is, the less.
        self.batch_size = 16 * requests
        self._first_request()

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """See `zoo.runtimes.runtime.Runtime`."""
        require_own_process()
        outputs = np.concatenate(list(self._pool.map(self._one, np.split(pixels, len(pixels)))))
        return outputs if self._divisor is None else outputs * self._divisor

    def _first_request(self) -> None:
        """Answers one request in this thread, before the pool has any.

        The first request of a process fills a table in OpenVINO's Python module. Two threads that come to it together
        wait for ever, each for what the other holds: that table's lock, or the interpreter.
        """
        shape = [size.get_length() if size.is_static else 1 for size in self._model.input(0).get_partial_shape()]
        with _FIRST_REQUEST:
            self._one(np.zeros(shape, np.uint8))

    def _one(self, image: np.ndarray) -> np.ndarray:
        request: Any = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._model.create_infer_request()
        return request.infer({0: image}, share_inputs=True)[0].copy()
