"""The Dockerfile is not built by the tests; what it says of other files and of the command is held to them."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from zoo.cli import parser

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Dockerfile"

pytestmark = [pytest.mark.tensorflow_only, pytest.mark.skipif(not FILE.is_file(), reason="not a checkout")]


def words(keyword):
    return json.loads(re.search(rf"^{keyword} (\[.*\])$", FILE.read_text(), re.M)[1])


def test_the_command_of_the_image_is_one_that_the_command_line_takes():
    options = parser().parse_args(words("ENTRYPOINT")[1:] + words("CMD"))
    assert (options.command, options.model, options.runtime) == ("serve", "nih-lite", "openvino")
    assert f"EXPOSE {options.port}\n" in FILE.read_text()
    assert f"http://127.0.0.1:{options.port}/health" in FILE.read_text()


def test_it_takes_the_wheel_that_make_builds_with_extras_that_there_are():
    assert "--outdir build/wheel" in (ROOT / "Makefile").read_text()
    assert "COPY build/wheel/*.whl" in FILE.read_text()
    assert (ROOT / ".dockerignore").read_text().split() == ["*", "!build/wheel/*.whl"]
    extras = re.search(r"\.whl\)\[([a-z,]+)\]", FILE.read_text())[1].split(",")
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(extras) <= set(known)


def test_it_runs_as_a_user_without_rights():
    lines = FILE.read_text().splitlines()
    assert lines.index("USER zoo") < next(i for i, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    assert not [line for line in lines if line.startswith("USER") and line != "USER zoo"]
