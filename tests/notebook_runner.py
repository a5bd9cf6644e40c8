"""Notebooks executed by nbclient: whole, or killed on the way; and written back with tidy outputs.

python tests/notebook_runner.py NOTEBOOK...     executes them here and stores their outputs
"""

import os
import re
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
SECONDS = 600

#: What TensorFlow writes while it is imported, before its own log level takes effect.
_STARTING = re.compile(r"^(?:WARNING: All log messages before absl|[IWE]\d{4} 00:00:).*\n", re.M)


def environment(**own: str) -> dict[str, str]:
    """The environment of a kernel: this checkout's package, quiet, and no network but this machine."""
    away = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT), "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {**os.environ, **quiet, **away, **own}


def read(path: Path, parameters: Mapping[str, object] | None = None) -> Any:
    """Reads a notebook without its outputs; parameters are set in a cell after the one with the tag "parameters"."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    if parameters:
        tagged = [i for i, cell in enumerate(notebook.cells) if "parameters" in cell.metadata.get("tags", [])]
        lines = [f"{name} = {value!r}" for name, value in parameters.items()]
        notebook.cells.insert(tagged[0] + 1, nbformat.v4.new_code_cell("\n".join(lines)))
    return notebook


def execute(notebook: Any, folder: Path, env: Mapping[str, str], kill_before: str = "") -> str:
    """Executes a notebook in a folder and returns all text that it shows; an error in a cell is raised.

    Args:
        kill_before: Text of a cell; the kernel is killed when all cells before it are done.
    """
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": folder}})
    with client.setup_kernel(env=dict(env)):
        for i, cell in enumerate(notebook.cells):
            if kill_before and cell.cell_type == "code" and kill_before in cell.source:
                process: Any = client.km.provisioner
                os.kill(process.pid, signal.SIGKILL)
                return shown(notebook)
            client.execute_cell(cell, i)
    return shown(notebook)


def shown(notebook: Any) -> str:
    """All text in the outputs of a notebook."""
    parts = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            text = output.get("text") or output.get("data", {}).get("text/markdown")
            parts.append(text or output.get("data", {}).get("text/plain", ""))
    return "\n".join(parts)


def tidy(notebook: Any) -> None:
    """Removes what changes from run to run without meaning: times, TensorFlow's start, and pieces of one stream."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        joined: list[Any] = []
        for output in cell.get("outputs", []):
            if joined and output.output_type == "stream" == joined[-1].output_type and output.name == joined[-1].name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        for output in joined:
            if output.output_type == "stream":
                output.text = _STARTING.sub("", output.text)
        if cell.cell_type == "code":
            cell.outputs = [output for output in joined if output.get("text") != ""]


def main(paths: list[str]) -> None:
    for path in map(Path, paths):
        notebook = read(path)
        with tempfile.TemporaryDirectory() as folder:
            execute(notebook, Path(folder), environment(ZOO_HOME=f"{folder}/home"))
        tidy(notebook)
        nbformat.validate(notebook)
        nbformat.write(notebook, path)
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
