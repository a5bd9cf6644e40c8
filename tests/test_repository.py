"""What a code host and a reader who cites us find beside the code."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import zoo

ROOT = Path(__file__).parents[1]
FORMS = sorted(p for p in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if p.name != "config.yml")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="not a checkout: no .github")


@pytest.mark.parametrize(
    "schema, files",
    [
        ("vendor.github-workflows", WORKFLOWS),
        ("custom.github-workflows-require-timeout", WORKFLOWS),
        ("vendor.github-issue-forms", FORMS),
        ("vendor.citation-file-format", [ROOT / "CITATION.cff"]),
    ],
)
def test_files_of_the_code_host_obey_their_schemas(schema: str, files: list[Path]) -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_citation_names_this_version_and_licence() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == zoo.__version__
    assert citation["license"] == "Apache-2.0"


def test_the_hosted_matrix_has_every_python_and_backend_and_the_oldest_and_newest_versions() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text("utf-8"))["jobs"]
    assert jobs["matrix"]["strategy"]["matrix"] == {
        "python": ["3.11", "3.12", "3.13"],
        "backend": ["tensorflow", "jax"],
    }
    assert jobs["versions"]["strategy"]["matrix"] == {"versions": ["oldest", "newest"]}
    assert jobs["versions"]["steps"][-1]["run"] == "make test-${{ matrix.versions }}"
    assert "test-oldest test-newest: test-%: .venv-%/.ready" in (ROOT / "Makefile").read_text("utf-8")


def test_a_release_is_published_without_a_stored_token() -> None:
    workflow = (ROOT / ".github/workflows/release.yml").read_text("utf-8")
    assert yaml.safe_load(workflow)["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert "secrets." not in workflow


def test_every_action_is_of_a_stated_version() -> None:
    used = {
        step["uses"]
        for path in WORKFLOWS
        for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    }
    assert used
    assert all("@" in name for name in used)
