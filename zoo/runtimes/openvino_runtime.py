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
    """The OpenVINO package, imported without its telemetry, which would fork this process and use the network."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


#: Held for the first request of each model: see `OpenVinoRuntime._first_request`.
_FIRST_REQUEST = threading.Lock()


@cache
def core() -> Any:
    """The one `Core` of the process, which is never released.

    Its CPU plugin gives the calling thread a signal stack, and restores the former one when it is unloaded. If one of
    two plugins is unloaded before the other, the other later restores a stack that is no longer mapped: the next
    signal, such as Ctrl-C, ends the process.
    """
    kept = openvino().Core()
    kept.get_versions("CPU")  # loads the plugin before any other `Core` does, so that those are unloaded first
    return kept


@cache
def native() -> frozenset[str]:
    """The number types with native arithmetic on this CPU, among "float32", "bfloat16" and "int8"."""
    has = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    names = {"FP32": "float32", "BF16": "bfloat16", "INT8": "int8"}
    return frozenset(names[name] for name in has if name in names)


class OpenVinoRuntime:
    """An exported graph in OpenVINO, on the CPU.

    Args:
        path: `model.xml`, with `model.bin` beside it; their hashes were verified before.
        precision: The export's: "float32", "bfloat16" or "int8".
        rest: Number type of the layers that int8 leaves in floating point.
        divisor: What the graph divides its logits by, to be undone: one number, or one a finding. int8 exports of
            earlier versions have one; graphs of today give the logits as they are.
        compiled: Folder where OpenVINO keeps compiled models, or None.

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
        # By default OpenVINO computes in bfloat16 where the CPU can.
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
        # At the end of a batch some streams are idle: a smaller share of the time in a longer batch.
        self.batch_size = 16 * requests
        self._first_request()

    def logits(self, pixels: np.ndarray, full: int = 0) -> np.ndarray:
        """See `zoo.runtimes.runtime.Runtime`."""
        require_own_process()
        outputs = np.concatenate(list(self._pool.map(self._one, np.split(pixels, len(pixels)))))
        return outputs if self._divisor is None else outputs * self._divisor

    def _first_request(self) -> None:
        """Answers one request in this thread, before the pool has any.

        The first request of a process fills a table in OpenVINO's Python module. Two threads that enter it together
        deadlock: one holds the lock of that table, the other the lock of the interpreter.
        """
        shape = [size.get_length() if size.is_static else 1 for size in self._model.input(0).get_partial_shape()]
        with _FIRST_REQUEST:
            self._one(np.zeros(shape, np.uint8))

    def _one(self, image: np.ndarray) -> np.ndarray:
        request: Any = getattr(self._requests, "own", None)
        if request is None:
            request = self._requests.own = self._model.create_infer_request()
        return request.infer({0: image}, share_inputs=True)[0].copy()
