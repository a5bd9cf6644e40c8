"""`make audit`: a bill of materials of what is installed, and which of it has known faults.

Run with the Python that has pip-audit and cyclonedx-py: `python tests/audit.py PYTHON FOLDER`, where PYTHON is the one
whose packages are judged. pip-audit alone ends with "No known vulnerabilities found" where the index answered for none.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
#: What pip-audit says of a distribution that it was told to leave out: ours, installed from its source.
OURS = "marked as editable"
INSTALLED = "import importlib.metadata as m, json; print(json.dumps([[d.name, d.version] for d in m.distributions()]))"


def main(python: str, folder: Path) -> int:
    """Writes `sbom.cdx.json` into a folder, asks for known faults, and says in a line each what came of it."""
    folder.mkdir(parents=True, exist_ok=True)
    bill, answers = folder / "sbom.cdx.json", folder / "audit.json"
    answers.unlink(missing_ok=True)
    installed = json.loads(subprocess.check_output([python, "-I", "-c", INSTALLED]))
    site = subprocess.check_output([python, "-I", "-c", "import site; print(site.getsitepackages()[0])"], text=True)
    project = ["--pyproject", str(ROOT / "pyproject.toml")]
    tool("cyclonedx-py", "environment", python, *project, "--validate", "--output-file", str(bill), check=True)
    asked = tool("pip-audit", "--skip-editable", "--format=json", f"--output={answers}", f"--path={site.strip()}")
    if not answers.is_file():
        sys.exit(f"audit: the index gave no answer on known faults: {asked.stderr.strip().splitlines()[-1]}")
    problems = [
        *left_out(installed, json.loads(bill.read_bytes())),
        *found(json.loads(answers.read_bytes())["dependencies"]),
    ]
    for line in problems or [f"{len(installed)} distributions, no known fault"]:
        print(f"audit: {line}")
    return 1 if problems else 0


def left_out(installed: Sequence[tuple[str, str]], bill: dict[str, Any]) -> list[str]:
    """Tells which installed distributions do not stand in a bill of materials."""
    parts = [bill["metadata"]["component"], *bill["components"]]
    listed = {(normal(part["name"]), part.get("version")) for part in parts}
    # The project itself stands there as its pyproject.toml has it: its version is not stated in that file.
    names = {name for name, version in listed if version is None}
    missing = [f"{name} {v}" for name, v in installed if (normal(name), v) not in listed and normal(name) not in names]
    return [f"not in the bill of materials: {shown(missing)}"] if missing else []


def found(answers: Sequence[dict[str, Any]]) -> list[str]:
    """Tells which distributions have known faults, and for which nothing was answered."""
    asked = [answer for answer in answers if OURS not in answer.get("skip_reason", "")]
    silent = [f"{answer['name']} ({answer['skip_reason']})" for answer in asked if "skip_reason" in answer]
    lines = [
        f"{answer['name']} {answer['version']}: {fault['id']}, mended in {', '.join(fault['fix_versions']) or 'none'}"
        for answer in asked
        for fault in answer.get("vulns", ())
    ]
    if silent and len(silent) == len(asked):
        lines.append(
            f"the index answered for none of {len(asked)} distributions, so no fault could be found: it lacks the "
            "page of a single version (NAME/VERSION/json), which lists them. Run this where the index has it"
        )
    elif silent:
        lines.append(f"no answer for {len(silent)} of {len(asked)} distributions: {shown(silent)}")
    return lines


def tool(name: str, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name(name)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    if check and done.returncode:
        sys.exit(f"audit: {name} failed: {done.stderr.strip()}")
    return done


def normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
