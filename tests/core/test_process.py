"""Which kind of processor this is."""

from pathlib import Path

import pytest

from zoo.core import process


@pytest.fixture
def anew():
    process.processor.cache_clear()
    yield
    process.processor.cache_clear()


def test_processors_of_one_name_differ_by_what_they_compute(anew, monkeypatch):
    """Virtual machines show one name for many processors."""
    found = []
    for number, flags in (("0", "avx2"), ("0", "avx2 amx_bf16"), ("1", "avx2")):
        text = f"processor\t: {number}\nmodel name\t: Xeon\ncpu MHz\t: {number}000.1\nflags\t: {flags}\n"
        monkeypatch.setattr(Path, "read_text", lambda *_, text=text, **__: text)
        process.processor.cache_clear()
        found.append(process.processor())
    assert found[0] == found[2] != found[1]


def test_a_system_without_cpuinfo_has_a_name(anew, monkeypatch):
    def refuse(*_, **__):
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert process.platform.machine() in process.processor()
