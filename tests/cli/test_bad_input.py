"""Whatever is given to a command, a mistake ends in one line that names it; a fault of ours is shown whole."""

import numpy as np
import pytest
from builders import tiny_release
from PIL import Image

from zoo._version import __version__
from zoo.cli import FAULT, look, main


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Name -> path of something that is wrong wherever it is given."""
    folder = tmp_path_factory.mktemp("bad")
    texts = {
        "empty.csv": "",
        "header.csv": "Image_name\n",
        "other.csv": "a,b\n1,2\n",
        "ragged.csv": "Image_name,Edema\nx.png,1,2,3\n",
        "words.csv": "Image_name,Edema\nx.png,maybe\n",
        "twice.csv": "Image_name,Edema,Edema\nx.png,1,0\n",
        "quote.csv": 'Image_name,Edema\n"x.png,1\n',
        "list.json": "[1, 2]",
        "broken.json": '{"a": ',
        "deep.json": "[" * 100_000,
        "recipe.py": "import nothing_of_that_name\n",
        "recipe_none.py": "x = 1\n",
    }
    paths = {"missing": folder / "missing", "binary": folder / "binary.csv", "link": folder / "link"}
    for name, text in texts.items():
        paths[name] = folder / name
        paths[name].write_text(text)
    paths["binary"].write_bytes(bytes(range(256)) * 4)
    paths["link"].symlink_to(paths["link"])
    for name in ("folder", "release", "run", "data"):
        paths[name] = folder / name
        paths[name].mkdir()
    for name in ("manifest.json", "config.json", "recipe.json"):
        (paths["release"] / name).write_text('{"files": 3, "format_version": "x"}')
        (paths["run"] / name).write_text("null")
    (paths["data"] / "train2.csv").write_text("Image_name,Edema\nx.png,maybe\n")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "x.png")
    return paths


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("release") / "tiny", members=1)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


def said(capsys, *arguments):
    """What a command that fails says on standard error: one line, after argparse's usage where it is a wrong option."""
    status: object
    try:
        status = main([str(argument) for argument in arguments])
    except SystemExit as error:
        status = error.code
    errors = capsys.readouterr().err
    assert status in (1, 2), errors
    assert "Traceback" not in errors
    lines = [line for line in errors.splitlines() if status == 1 or not line.startswith(("usage:", " "))]
    assert len(lines) == 1, errors
    assert lines[0].startswith((f"zoo {arguments[0]}", "zoo: ")), lines
    assert lines[0].partition(": ")[2]
    return lines[0]


ANY = ("missing", "binary", "empty.csv", "header.csv", "other.csv", "ragged.csv", "words.csv", "twice.csv", "quote.csv",
       "list.json", "broken.json", "deep.json", "folder", "release", "run", "data", "link")  # fmt: skip
#: Commands that take the release, the bad thing as {bad}, and what they need beside it.
COMMANDS = (
    "cache {bad} --out out",
    "cache {bad} --out out --dataset nih",
    "demo --data {bad} --run out",
    "demo --data {bad} --dataset nih --run out",
    "train xrayslam --data {bad} --run out",
    "train {bad} --data folder --run out",
    "evaluate --predictions {bad} --out out",
    "evaluate --predictions {bad} --labels {bad} --out out",
    "evaluate {bad} --data {bad} --out out",
    "evaluate {release} --data {bad} --out out",
    "predict {folder} --model {bad} --out out.csv",
    "predict {x} --model {release} --decision {bad} --out out.csv",
    "submit {x} --model {release} --sample {bad} --out out.csv",
    "submit {x} --model {bad} --out out.csv",
    "release {bad} --out out",
    "install {bad} --as mine",
    "export {bad} --format onnx --out out",
    "export {release} --format openvino --precision int8 --data {bad}",
    "publish {bad} --repo owner/name --dry-run",
    "diff {release} {bad}",
    "diff {bad} {release}",
)


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_bad_file_or_folder_is_one_line(command, name, bad, release, capsys):
    places = {"bad": bad[name], "release": release, "folder": bad["folder"], "x": bad["folder"].parent / "x.png"}
    said(capsys, *(part.format(**places) for part in command.split()))


@pytest.mark.parametrize(
    "command",
    [
        "phantoms out --images -1",
        "phantoms out --images many",
        "phantoms {file}",
        "cache {folder} --size 0",
        "cache {folder} --dataset other",
        "train nothing --data {folder}",
        "train xrayslam --data {folder} --set nothing=1",
        "train xrayslam --data {folder} --set seed",
        "train xrayslam --data {folder} --set seed=x",
        "train xrayslam --data {folder} --max-hours -1",
        "train xrayslam --data {folder} --dataset other",
        "demo --set nothing=1 --run out",
        "demo --dataset other --data {folder}",
        "evaluate --out out",
        "evaluate {release} --out out",
        "evaluate --predictions {csv} --out out --prevalence Edema",
        "evaluate --predictions {csv} --out out --prevalence Edema=2 --fit auto",
        "evaluate --predictions {csv} --out out --guarantee 0.9",
        "evaluate --predictions {csv} --out out --seed -1",
        "evaluate --predictions {csv} --out out --validation-share 2 --fit auto",
        "evaluate --predictions {csv} --out out --id nothing",
        "evaluate --predictions {csv} --out out --dataset other",
        "evaluate --predictions {csv} --out {file}",
        "predict {x} --model nothing --out out.csv",
        "predict {x} --model owner/name --out out.csv",
        "predict {x} --model hf://owner --out out.csv",
        "predict {x} --model hf://owner/name --out out.csv",
        "predict {missing} --model {release} --out out.csv",
        "predict {x} --model {release} --out out.txt",
        "predict {x} --model {release} --out {folder}",
        "predict {x} --model {release} --out out.csv --point nothing",
        "predict {x} --model {release} --out out.csv --batch-size 0",
        "predict {x} --model {release} --out out.csv --precision int8",
        "predict {x} --model {release} --out out.csv --runtime other",
        "submit {missing} --model {release} --out out.csv",
        "submit {file} --model {release} --out out.csv",
        "release {release} --out {file}",
        "release {release} --out {folder}",
        "install {release} --as ../up",
        "install {release} --as resnet50/",
        "export {release} --format onnx --precision bfloat16",
        "export {release} --format onnx --members nothing",
        "export {release} --format onnx --out {folder}",
        "export {release} --format onnx --data {folder}",
        "publish {release} --repo name",
        "catalog add mine owner/name",
        "catalog add ../up hf://owner/name",
        "catalog remove nothing",
        "catalog",
        "info nothing",
        "list --kind other",
        "verify hf://owner",
        "verify nothing",
        "diff nothing nothing",
        "nothing",
    ],
)
def test_a_bad_word_or_number_is_one_line(command, bad, release, capsys):
    places = {"folder": bad["folder"], "file": bad["other.csv"], "missing": bad["missing"], "release": release}
    places |= {"csv": bad["folder"].parent / "good.csv", "x": bad["folder"].parent / "x.png"}
    places["csv"].write_text("id,Edema,label_Edema\n" + "".join(f"{i},0.{i},{i % 2}\n" for i in range(10, 60)))
    said(capsys, *(part.format(**places) for part in command.split()))


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("predict {x} --model {port} --out o.csv --batch-size 0", "argument --batch-size: has to be at least 1, got 0"),
        ("predict {x} --model {port} --out o.csv --max-seconds 0", "the limit seconds has to be positive"),
        ("predict {x} --model {port} --out o.csv --decision none.json", "no such file or folder: none.json"),
        ("embed {port} {x} --out o.csv --batch-size x", "argument --batch-size: invalid whole number value: 'x'"),
        (
            "submit {x} --model {port} --out o.csv --batch-size -1",
            "argument --batch-size: has to be at least 1, got -1",
        ),
        ("probe {port} --data none.csv --out o", "no such file or folder: none.csv"),
        ("probe {port} --data {csv} --out o --folds 1", "argument --folds: has to be at least 2, got 1"),
        ("evaluate {port} --data none.csv --out o", "no such file or folder: none.csv"),
        ("evaluate {port} --data {csv} --out o --seed -1", "argument --seed: has to be at least 0, got -1"),
        (
            "evaluate {port} --data {csv} --out o --fit auto --guarantee 90",
            "--guarantee: has to be from 0 to 1, got 90",
        ),
        ("train xrayslam_ported --data none.csv", "none.csv"),
        ("train xrayslam_ported --data {csv}", "column 'Edema'"),
        ("train xrayslam_ported --data {csv} --set stages.0.batch_size=0", "batch_size must be at least 1, got 0"),
    ],
)
def test_options_are_checked_before_a_published_model_is_fetched(command, words, bad, capsys):
    """There is no network here: a command that tried to fetch would say so instead."""
    places = {"x": bad["folder"].parent / "x.png", "csv": bad["words.csv"], "port": "xrv-densenet121-all"}
    assert words in said(capsys, *(part.format(**places) for part in command.split()))


def test_verify_says_what_fails_and_ends_with_1(bad, capsys):
    for name in ANY:
        assert main(["verify", str(bad[name])]) == 1
        assert "Traceback" not in capsys.readouterr().err


def test_a_fault_of_ours_is_its_traceback_and_a_line_that_asks_for_a_report(monkeypatch, capsys):
    def faulty(*_):
        raise KeyError("ours")

    monkeypatch.setattr(look, "_list", faulty)
    assert main(["list"]) == FAULT == 70
    *above, last = capsys.readouterr().err.splitlines()
    assert above[0].startswith("Traceback")
    assert above[-1] == "KeyError: 'ours'"
    assert f"report it to the project, with the text above (xrayslam-zoo {__version__}, Python 3." in last


def test_debug_shows_the_traceback_of_a_mistake():
    with pytest.raises(KeyError, match="nothing"):
        main(["info", "nothing", "--debug"])
