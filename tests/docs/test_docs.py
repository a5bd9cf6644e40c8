"""The site: each code block runs, each link leads somewhere, and the tables come from the code."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from zoo.core.errors import UnknownNameError

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))

pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="not a checkout: no docs")

#: A comment before a block, which readers of the site do not see, says that the block is not run, and why.
_BLOCK = re.compile(
    r"(?P<left><!-- Not run in the tests[^\n]* -->\n)?^```(?P<language>python|sh)\n(?P<code>.*?)^```$", re.S | re.M
)


def _blocks(page: Path) -> list[tuple[str, str]]:
    found = _BLOCK.finditer(page.read_text("utf-8"))
    return [(block["language"], block["code"]) for block in found if not block["left"]]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Path:
    """What the pages speak of: images/, my.csv with its images, release/, and files of predictions."""
    import zoo
    from zoo.core.home import INCLUDED
    from zoo.data.phantoms.drawing import make_phantoms

    folder = tmp_path_factory.mktemp("docs")
    (folder / "images").mkdir()
    for path in zoo.example_images():
        shutil.copy(path, folder / "images")
    shutil.copytree(INCLUDED / "nih-lite", folder / "release")
    make_phantoms(folder / "phantoms", 120, size=96, n_test=1, broken=0)
    drawn = pd.read_csv(folder / "phantoms" / "train2.csv", dtype=str)
    findings = ["Cardiomegaly", "Pleural Effusion", "Pneumothorax", "Support Devices"]
    named = {"Image_name": "image", "Patient_ID": "patient", "Sex": "sex", "Age": "age"}
    table = drawn[[*named, *findings]].rename(columns=named)
    table["image"] = "phantoms/train2/" + table["image"]
    table.to_csv(folder / "my.csv", index=False)
    labels = table[["image", *findings]]
    labels.to_csv(folder / "labels.csv", index=False)
    for i, name in enumerate(("theirs.csv", "ours.csv")):
        wave = [((37 * k + 11 * i) % 97) / 97 for k in range(len(labels))]
        scores = labels[findings].fillna("0").astype(float).mul(0.3).add(pd.Series(wave).mul(0.6), axis=0)
        pd.concat([labels[["image"]], scores], axis=1).to_csv(folder / name, index=False)
    for period, name in (("reference.csv", "theirs.csv"), ("june.csv", "ours.csv")):
        shutil.copy(folder / name, folder / period)
    return folder


@pytest.fixture
def registry():
    """What a page registers is forgotten after it."""
    from zoo.models.architectures import ARCHITECTURES

    before = set(ARCHITECTURES)
    yield
    for name in set(ARCHITECTURES) - before:
        del ARCHITECTURES[name]


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("page", [p for p in PAGES if _blocks(p)], ids=lambda p: p.relative_to(DOCS).as_posix())
@pytest.mark.usefixtures("registry")
def test_each_block_of_a_page_runs(page, workplace, tmp_path, monkeypatch):
    """In order, in one folder and one namespace, as a reader would."""
    from zoo.cli import main

    for name in workplace.iterdir():
        (tmp_path / name.name).symlink_to(name)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    for language, code in _blocks(page):
        if language == "python":
            exec(compile(code, str(page), "exec"), namespace)
            continue
        for line in code.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if words:
                assert words[0] == "zoo", line
                assert main(words[1:]) == 0, line


def test_pages_and_commands_that_are_not_run_say_so_and_are_parsed():
    """A line that needs a network or hours is at least one that the command line takes."""
    from zoo.cli import parser

    said = 0
    for page in PAGES:
        for block in _BLOCK.finditer(page.read_text("utf-8")):
            if not block["left"] or block["language"] != "sh":
                continue
            for line in block["code"].replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words and words[0] == "zoo":
                    parser().parse_args(words[1:])
                    said += 1
    assert said > 5


def test_the_readme_shows_commands_that_the_parser_takes():
    from zoo.cli import parser

    lines = [
        line
        for block in _BLOCK.finditer((ROOT / "README.md").read_text("utf-8"))
        for line in block["code"].splitlines()
    ]
    commands = [
        words for words in (shlex.split(line, comments=True) for line in lines if line.startswith("zoo ")) if words
    ]
    assert len(commands) > 5
    for words in commands:
        parser().parse_args(words[1:])


#: What stands in the code of a page -> the extra that it takes; `train` holds `report`, and `node` holds `dicom`.
EXTRAS = {
    'openvino"': "serve", "--runtime openvino": "serve", "--format onnx": "serve", "zoo serve": "api", "zoo app": "app",
    "zoo node": "node", ".parquet": "parquet", ".dcm": "dicom|node", "zoo probe": "train", "zoo train": "train",
    "zoo evaluate": "report|train", "--engine ray": "ray",
}  # fmt: skip


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_a_page_names_the_extras_that_its_code_takes(page):
    text = page.read_text("utf-8")
    code = "\n".join(re.findall(r"^```(?:python|sh)\n(.*?)^```$", text, re.S | re.M))
    named = r"\[[a-z,]*\b(?:{0})\b[a-z,]*\]|`(?:{0})`"
    missing = {what for what, extra in EXTRAS.items() if what in code and not re.search(named.format(extra), text)}
    assert missing == set()


def test_changes_of_a_recipe_on_a_page_are_some_that_a_recipe_takes():
    """Each `--set PATH=VALUE`, in a sentence too."""
    from zoo.training.recipe import apply_overrides, load_recipe

    text = "".join(page.read_text("utf-8") for page in (*PAGES, ROOT / "README.md", ROOT / "recipes" / "README.md"))
    changes = {quoted or plain for quoted, plain in re.findall(r"--set (?:'([^']+)'|([^\s`\"']+))", text)}
    assert len(changes) > 8
    for change in changes - {"path=value"}:
        apply_overrides(load_recipe("xrayslam"), [change])


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "recipes/README.md"])
def test_links_to_files_lead_somewhere(page):
    """The site's own links are checked when it is built."""
    text = (ROOT / page).read_text("utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text) + re.findall(r'src="(?!https?:)([^"]+)"', text)
    missing = [link for link in links if not ((ROOT / page).parent / link).exists()]
    assert missing == []


@pytest.mark.tensorflow_only
def test_the_site_is_built_without_a_warning_and_fetches_nothing(tmp_path):
    """`--strict`: a broken link, a missing anchor, a page outside the navigation or a name without docstring fails."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert not re.findall(r"""(?:src|href)="https?://[^"]*\.(?:js|css|woff2?)[^"]*\"""", page)
    models = (tmp_path / "site" / "reference" / "models.html").read_text("utf-8")
    assert "xrv-densenet121-all" in models
    assert "[xrayslam_kaggle.ipynb" not in models  # a link of recipes/README.md that leads out of the site
    assert "densenet121" in models


def test_errors_in_the_list_of_questions_are_headed_by_what_the_code_says():
    source = [str(UnknownNameError("model", "NAME", ()))]
    for path in (ROOT / "zoo").rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_bytes())))
        documented = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}  # docstrings promise nothing
        strings = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in documented]
        source += [node.value for node in strings if isinstance(node.value, str)]
    headings = re.findall(r"^## (.*[^?\n])$", (DOCS / "faq.md").read_text("utf-8"), re.M)
    assert len(headings) > 5
    for heading in headings:
        said = [part.strip() for part in re.split(r"'[^']*'", heading)]
        assert [part for part in said if not any(part in string for string in source)] == [], heading
