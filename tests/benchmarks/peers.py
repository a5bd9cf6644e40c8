"""The rivals that need a word before they import: PyTorch and what is built on it. Absent, they skip the test."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from typing import Any

import pytest

#: Our backbones -> timm's networks: the TensorFlow variant of EfficientNet pads as Keras does.
TIMM_NAMES = {"resnet50": "resnet50", "efficientnetb3": "tf_efficientnet_b3", "densenet121": "densenet121"}

MISSING = "{} is not installed (pip install 'xrayslam-zoo[bench]')"
_declared: list[Any] = []  # an operator is forgotten with the object that declared it


@functools.cache
def import_torch() -> Any:
    """PyTorch, with the threads that everyone has."""
    if "tensorflow" in sys.modules:
        # A PyTorch for GPUs brings Triton, whose LLVM and TensorFlow's end the process; a CPU does without it.
        sys.modules.setdefault("triton", None)  # type: ignore[arg-type]
    torch = _needed("torch")
    threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(threads)
    torch.set_num_interop_threads(threads)
    return torch


def import_timm() -> Any:
    import_torchvision()
    return _needed("timm")


def import_torchxrayvision() -> Any:
    import_torchvision()
    return _needed("torchxrayvision")


@functools.cache
def import_torchvision() -> Any:
    """timm and TorchXRayVision need it, though none of its operators here.

    Beside a PyTorch for CPUs alone, an index may hold torchvision for GPUs alone: its operators do not load, and its
    Python stops at the first that nobody declared.
    """
    torch = import_torch()
    try:
        return _needed("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return importlib.import_module("torchvision")


def _needed(name: str) -> Any:
    return pytest.importorskip(name, reason=MISSING.format(name))
