"""The map of folders in CONTRIBUTING.md is the tree: each module is named in its folder's row, and each name is there.

A row begins with the folder in backticks, `zoo/core/`, and names its modules in backticks without their ending. Modules
of a folder that has no row of its own are named with that folder: `images/decode`.
"""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAP = ROOT / "CONTRIBUTING.md"

pytestmark = pytest.mark.skipif(not MAP.is_file(), reason="a wheel has no CONTRIBUTING.md")


def named(text: str) -> set[str]:
    """The paths that the rows of a map name, from the root and without ending: folders, and what lies in them."""
    found = set()
    for row in re.findall(r"^\| (`zoo/.*)\|$", text, flags=re.M):
        place, _, words = row.partition("|")
        for folder in re.findall(r"`(zoo/[a-z_0-9/]*)`", place):
            folder = folder.strip("/")
            names = re.findall(r"`([a-z_0-9]+(?:/[a-z_0-9]+)*)/?`", words)
            found |= {folder, *(f"{folder}/{name}" for name in names)}
    return found


def tree() -> set[str]:
    """Packages and modules of zoo/, from the root and without ending."""
    modules = (path.relative_to(ROOT) for path in (ROOT / "zoo").rglob("*.py"))
    return {(path.parent if path.stem == "__init__" else path.with_suffix("")).as_posix() for path in modules}


def test_every_module_is_named_in_the_map():
    assert sorted(tree() - named(MAP.read_text("utf-8")) - {"zoo", "zoo/cli/__main__"}) == []


def test_every_name_in_the_map_is_there():
    others = {path.relative_to(ROOT).as_posix() for path in (ROOT / "zoo").rglob("*") if path.is_dir()}
    assert sorted(named(MAP.read_text("utf-8")) - tree() - others) == []


def test_the_check_itself_reads_a_row():
    text = (
        "| place | words |\n| `zoo/a/` | `x` (does `this.that`), `y/z`, the `images/`, `zoo list` |\n| `tests/` | `t` |"
    )
    assert named(text) == {"zoo/a", "zoo/a/x", "zoo/a/y/z", "zoo/a/images"}
