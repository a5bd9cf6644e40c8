"""Every class and function of the public interface shows an example, which the doctests run."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

import zoo

REFERENCE = sorted((Path(__file__).parents[1] / "docs/reference").glob("*.md"))


def documented():
    """The classes and functions of `zoo`, and those on the pages of the reference, by name."""
    names = [f"zoo.{name}" for name in zoo.__all__]
    for page in REFERENCE:
        names += re.findall(r"^::: ([\w.]+)", page.read_text("utf-8"), re.MULTILINE)
    for name in dict.fromkeys(names):
        place, _, last = name.rpartition(".")
        found = getattr(importlib.import_module(place), last, None) or importlib.import_module(name)
        if not inspect.ismodule(found):
            yield name, found
            continue
        for own, value in vars(found).items():
            if not own.startswith("_") and getattr(value, "__module__", "") == found.__name__:
                yield f"{name}.{own}", value


@pytest.mark.skipif(not REFERENCE, reason="the pages of the reference are not in the wheel")
def test_each_public_class_and_function_shows_an_example():
    found = {name: value for name, value in documented() if inspect.isclass(value) or inspect.isroutine(value)}
    assert len(found) > 40
    assert [name for name, value in found.items() if ">>>" not in (inspect.getdoc(value) or "")] == []
