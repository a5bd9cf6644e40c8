"""`make test-oldest` has the lowest version of each direct dependency: a bound that nothing reached is untested."""

import os
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]


@pytest.mark.skipif("ZOO_OLDEST_EXTRAS" not in os.environ, reason="not the environment of the lowest versions")
def test_each_direct_dependency_is_as_old_as_pyproject_says() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = [*project["dependencies"]]
    for extra in os.environ["ZOO_OLDEST_EXTRAS"].split(","):
        asked += project["optional-dependencies"][extra]
    newer = {}
    for requirement in map(Requirement, asked):
        bounds = [bound.version for bound in requirement.specifier if bound.operator == ">="]
        if bounds and (requirement.marker is None or requirement.marker.evaluate()):
            installed = version(requirement.name)
            # 2.0 stands for 2.0.1 too, where 2.0.0 was never published or withdrawn.
            if Version(installed).release[: len(Version(bounds[0]).release)] != Version(bounds[0]).release:
                newer[str(requirement)] = installed
    assert newer == {}
