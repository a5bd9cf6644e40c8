"""What figures were measured on, without the machine's name; and the same number of threads for everyone."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = (
    "keras", "tensorflow", "tensorflow-cpu", "jax", "torch", "openvino", "nncf", "onnx", "onnxruntime", "timm",
    "torchvision", "torchxrayvision", "keras-cv", "numpy", "pandas", "scikit-learn", "scikit-image", "pillow",
    "pytest-benchmark",
)  # fmt: skip

# Each library's own word for it. Threads that a library starts beyond these still share the processors of `pin`.
THREAD_VARIABLES = (
    "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",  # NumPy, PyTorch, ONNX Runtime's OpenMP builds
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",  # TensorFlow
    "NPROC", "PJRT_NPROC",  # XLA on a CPU, and so JAX
)  # fmt: skip


def environment(threads: int) -> dict[str, Any]:
    """Processor, cores, memory in GiB, system, Python, installed packages with versions, threads."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory": f"{memory:.0f} GiB",
        "system": system(),
        "Python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := installed(name))},
        "threads": threads,
    }


def pin(threads: int) -> dict[str, str]:
    """Keeps this process and its children on so many processors; returns the variables that say so to the libraries."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    return dict.fromkeys(THREAD_VARIABLES, str(threads))


def available() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())


def system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release()}"


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
