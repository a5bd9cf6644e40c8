"""The sources' own libraries, and transformers cut down to two blocks."""

import dataclasses
import importlib
import os
import sys

import pytest

from zoo.models import architectures


@pytest.fixture
def two_blocks(monkeypatch):
    """The registered vision transformers with 2 blocks in place of 12."""
    rows = architectures.ARCHITECTURES
    for name, row in list(rows.items()):
        if name.startswith("vit_"):
            monkeypatch.setitem(rows, name, dataclasses.replace(row, options={**row.options, "depth": 2}))


@pytest.fixture(scope="session")
def torch():
    return _source("torch")


@pytest.fixture(scope="session")
def timm(torch):
    _declare_operators(torch)
    return _source("timm")


@pytest.fixture(scope="session")
def torchxrayvision(torch):
    _declare_operators(torch)
    return _source("torchxrayvision")


@pytest.fixture(scope="session")
def transformers(torch):
    _declare_operators(torch)
    return _source("transformers")


def _source(name):
    """The library; where it is not installed the test is skipped, unless ZOO_PARITY says that it has to run."""
    if os.environ.get("ZOO_PARITY"):
        return importlib.import_module(name)
    return pytest.importorskip(name, reason="compares with the source's own code: make .venv/.parity")


def _declare_operators(torch, kept=[]):  # noqa: B006 (the library lives as long as the process)
    """Declares the operators that a torchvision without a build for this PyTorch expects to have been loaded."""
    if kept or "torchvision" in sys.modules:
        return
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return
    except RuntimeError:  # operator torchvision::nms does not exist
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        kept.append(torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            kept[0].define(f"{name}(Tensor d, Tensor s, float t) -> Tensor")
