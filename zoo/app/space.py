"""The folder of a Space on the Hub that shows a model, and what its `app.py` calls."""

from __future__ import annotations

from pathlib import Path

from zoo._version import __version__
from zoo.app.server import run
from zoo.core.files import write_text
from zoo.evaluation.tables import RESEARCH_ONLY
from zoo.inference.load import load
from zoo.service.settings import Settings

#: What a Space expects: this port, on all addresses of its container.
_SPACE = Settings(host="0.0.0.0", port=7860, insecure=True, files=8, queue=16, body=64_000_000, held=512_000_000)

_APP = '''\
"""Shows a model of chest radiographs. {research_only}"""

from zoo.app import run_space

run_space({reference!r})
'''

_README = """\
---
title: {title}
colorFrom: blue
colorTo: gray
sdk: gradio
python_version: "3.11"
app_file: app.py
pinned: false
models:
- {repo}
short_description: Findings on chest radiographs, for research
---

# {title}

{research_only}

This page runs `zoo app` with [{repo}](https://huggingface.co/{repo}). Images are read in memory and not kept.
Do not upload images that identify a patient: this is a public server.
"""


def write_space(folder: str | Path, repo: str, revision: str = "") -> Path:
    """Writes `app.py`, `requirements.txt` and `README.md` of a Space; push the folder to a Space to run it.

    Args:
        folder: Folder to write; created if necessary.
        repo: Repository of the model, as owner/name.
        revision: Its commit or tag; "" for the newest.

    Returns:
        The folder.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    reference = f"hf://{repo}@{revision}" if revision else f"hf://{repo}"
    words = {"title": repo.partition("/")[2] or repo, "repo": repo, "reference": reference}
    write_text(out / "app.py", _APP.format(**words, research_only=RESEARCH_ONLY))
    write_text(out / "README.md", _README.format(**words, research_only=RESEARCH_ONLY))
    write_text(out / "requirements.txt", f"xrayslam-zoo[cpu,app,dicom]=={__version__}\n")
    return out


def run_space(reference: str) -> None:
    """Serves the page of a model as a Space does: on port 7860, open to everybody who can open the Space.

    Args:
        reference: Name, folder or hf:// reference of a release.
    """
    run(load(reference), _SPACE, lambda url: None)
