"""The service does what its description (OpenAPI) says, whatever schemathesis sends to it."""

import subprocess
import sys

import pytest
from served import TOKEN, serving

pytestmark = pytest.mark.tensorflow_only


@pytest.mark.parametrize("token", ["", TOKEN])
def test_schemathesis_finds_nothing(token, tmp_path):
    """Its own command: examples, boundary values and random requests, a bounded number of each."""
    pytest.importorskip("schemathesis")
    with serving(token=token, body=200_000) as client:
        command = ["run", f"{client.base_url}/openapi.json", "--max-examples", "20", "--seed", "1"]
        command += ["--no-color", "--mode", "all", "--phases", "examples,coverage,fuzzing"]
        command += ["-H", f"Authorization: Bearer {token}"] if token else []
        start = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", *command]
        done = subprocess.run(start, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert client.get("/ready").status_code == 200
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "No issues found" in done.stdout
