"""What is committed: valid notebooks of short cells, with no errors and no machine's paths in them."""

import json
import re
from importlib.util import find_spec

import pytest
from notebook_runner import ROOT

pytestmark = pytest.mark.skipif(find_spec("nbformat") is None, reason="nbformat checks notebooks: the extra dev")

NOTEBOOKS = sorted([*ROOT.glob("recipes/*.ipynb"), *ROOT.glob("examples/*.ipynb")])
PATH = re.compile(r"/(?:home|root|tmp|work|Users|opt|usr|var)/|[A-Z]:\\\\|site-packages|\.venv")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_renders(path):
    import nbformat

    text = path.read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert len(text) < 800_000  # code hosts show no notebook of several megabytes
    first = notebook.cells[0].source
    assert first.startswith("# ")
    for words in ("**What you get:**", "**What it takes:**", "**Research software, not a medical device.**"):
        assert words in first
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        assert len(cell.source.splitlines()) <= 40
        assert not [output for output in cell.outputs if output.output_type == "error"]
        assert not [output for output in cell.outputs if output.get("name") == "stderr"]
        json.dumps(cell.outputs)
    pictures = re.compile(r'"image/png": "[^"]*"')
    assert not PATH.search(pictures.sub("", text))


def test_both_notebooks_are_there():
    assert {"xrayslam_kaggle", "own_data"} <= {path.stem for path in NOTEBOOKS}
