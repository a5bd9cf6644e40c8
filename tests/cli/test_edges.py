"""What exists is replaced only if the user says so, and no option is ignored: one line names what has no effect."""

import io

import numpy as np
import pandas as pd
import pytest
from builders import tiny_release
from films import noise_folder
from PIL import Image
from rich.console import Console
from told import Told

from zoo.cli import main
from zoo.core.errors import UsageError
from zoo.core.terminal import download_bar
from zoo.data.tables.spec import TableSpec
from zoo.export.int8.acceptance import choose_images
from zoo.inference import studies
from zoo.release.licences import LICENCES, check_licence
from zoo.runs.restart import removed_on_failure


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny", members=1)


@pytest.fixture
def images(tmp_path):
    folder = noise_folder(tmp_path / "images", "film")
    (folder / "film2.png").unlink()  # the unreadable one
    return folder


@pytest.mark.parametrize(
    "how", [("predict", "--by", "image"), ("predict", "--by", "study", "--studies", "folder"), ("embed",)]
)
def test_a_finished_file_is_complete_or_refused(release, images, tmp_path, capsys, how):
    out = tmp_path / "out.csv"
    first = [str(release), str(images)] if how[0] == "embed" else [str(images), "--model", str(release)]
    command = [how[0], *first, *how[1:], "--out", str(out)]
    assert main(command) == 0
    said = capsys.readouterr().out
    written, time = out.read_bytes(), out.stat().st_mtime_ns
    assert main(command) == 0
    again = capsys.readouterr()
    assert "is already complete" in again.err
    assert again.out == said  # the same counts
    assert (out.read_bytes(), out.stat().st_mtime_ns) == (written, time)
    assert main([*command, "--batch-size", "3"]) == 1
    assert "exists and is of another job (batch size was " in (refused := capsys.readouterr().err)
    assert "--replace" in refused
    Image.fromarray(np.full((32, 32), 90, np.uint8)).save(images / "film9.png")
    assert main(command) == 1
    assert "1 of 5 images are not in it (first: " in capsys.readouterr().err
    assert main([*command, "--replace"]) == 0
    assert len(pd.read_csv(out)) > len(pd.read_csv(io.BytesIO(written))) or how[-1] == "folder"
    out.write_text("mine")
    assert main(command) == 1
    assert "exists, and from what it was made is not known: --replace" in capsys.readouterr().err
    assert out.read_text() == "mine"


def test_releases_and_names_are_replaced_by_one_option(release, tmp_path, capsys):
    place = tmp_path / "copy"
    for command, where in (
        (["release", str(release), "--out", str(place)], place),
        (["install", str(release), "--as", "mine"], "mine"),
    ):
        assert main(command) == 0
        assert main(command) == 1
        refused = capsys.readouterr().err
        assert f"{where} exists: --replace replaces it, or choose another" in refused
        assert refused.count("\n") == 1
        assert main([*command, "--replace"]) == 0
    probe = ["probe", str(release), "--data", str(tmp_path), "--out"]
    assert main([*probe, str(place)]) == 1
    assert "copy exists: --replace" in capsys.readouterr().err
    assert main([*probe, str(tmp_path / "new"), "--as", "mine"]) == 1
    assert "mine exists: --replace" in capsys.readouterr().err
    assert main(["port", str(release / "tiny.safetensors"), "--as", "mine"]) == 1
    assert "mine exists: --replace" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "sign"),
    [
        ("evaluate --predictions a.csv --out DIR", "metrics.json"),
        ("audit --data a.csv --out DIR", "audit.html"),
        ("phantoms DIR --images 3", "train2.csv"),
        ("submit a.png --model x --out DIR/out.csv", "out.csv"),
        ("data a.csv --html DIR/page.html", "page.html"),
        ("export x --format onnx --out DIR", "export.json"),
    ],
)
def test_a_result_that_replaces_an_earlier_one_says_so(tmp_path, monkeypatch, capsys, command, sign):
    """Before it works: what it lacks here is told afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / sign).write_text("earlier")
    main(command.replace("DIR", "out").split())
    assert "holds an earlier result, which this one replaces" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("predict --example --wide", "--wide: has no effect without a file: give --out FILE as well"),
        ("predict --example --by study", "--by study: has no effect"),
        ("predict --example --replace", "--replace: has no effect"),
        ("evaluate x --data d --out o --labels l.csv --ensemble logits", "--labels, --ensemble: is for --predictions"),
        ("evaluate x --predictions p.csv --out o", "the name of a release: is for a release on --data"),
        ("evaluate --predictions p.csv --out o --runtime onnx --image-column f", "--runtime, --image-column: is for"),
        ("evaluate --predictions p.csv --out o --training-images d --trained-on r", "--training-images: is for a"),
        ("evaluate x --data d --out o --confidence 0.9", "--confidence: is that of a guarantee"),
        ("data --formats d --quick", "the table, --quick: has no effect with --formats"),
        ("demo --findings Edema --dataset csv", "--dataset, --findings: describes the table in --data"),
        ("export x --format onnx --image-column f", "--image-column: is for --precision int8"),
        ("port xrv-densenet121-all --as x --license mit", "--license: has no effect on xrv-densenet121-all"),
    ],
)  # fmt: skip
def test_an_option_without_effect_is_refused_by_name(tmp_path, monkeypatch, capsys, command, words):
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) == 1
    errors = capsys.readouterr().err
    assert words in errors
    assert errors.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_noun_is_that_of_the_command(release, images, tmp_path, capsys):
    assert main(["embed", str(release), str(images), "--out", str(tmp_path / "x.xlsx")]) == 1
    assert "features are written as .csv or .parquet, got '.xlsx'" in capsys.readouterr().err
    assert main(["predict", str(images), "--model", str(release), "--out", str(tmp_path / "x.xlsx")]) == 1
    assert "findings are written as .csv or .parquet, got '.xlsx'" in capsys.readouterr().err


def test_a_flat_folder_is_no_study():
    flat = [f"all/{i}.png" for i in range(1115)] + ["p/1.png"]
    with pytest.raises(UsageError, match=r"1 of 2 folders hold more than 20 images.*1,115 of 1,116 images in 'all'"):
        studies.studies_of(flat, "folder")
    assert studies.studies_of(flat[:20], "folder").tolist() == ["all"] * 20


def test_licences_are_identifiers_or_say_what_they_are(capsys):
    assert check_licence("CC-BY-4.0") == "cc-by-4.0"
    assert check_licence("other") == "other"
    assert check_licence("unknown", unknown=True) == "unknown"
    assert len(LICENCES) == len(set(LICENCES))
    for text in ("unknown", "my own terms"):
        with pytest.raises(UsageError, match="is no identifier"):
            check_licence(text)
    with pytest.raises(UsageError, match=r"did you mean 'gpl-3\.0' or"):
        check_licence("gplv3.0")
    for command in (["port", "x.pt", "--as", "x"], ["release", "x", "--out", "y"], ["publish", "x", "--repo", "a/b"]):
        assert main([*command, "--license", "apache2"]) == 1
        assert "licence 'apache2' is no identifier; did you mean 'apache-2.0'" in capsys.readouterr().err


def test_an_unknown_source_names_the_closest_of_the_catalog(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["port", "chexnet-jrzeck", "--as", "x"]) == 1
    errors = capsys.readouterr().err
    assert "unknown name of the catalog 'chexnet-jrzeck'; did you mean 'chexnet-jrzech'?" in errors
    assert errors.count("\n") == 1


def test_info_shows_licence_origin_and_auc_and_shortens_long_lists(capsys):
    assert main(["info", "nih-lite"]) == 0
    shown = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert shown["licence"] == "apache-2.0"
    assert shown["origin"] == "this project; comes with the package"
    assert shown["auc"] == "0.722 [0.649, 0.771] on its test part, 146 images"
    assert shown["parameters"].endswith("in the backbones, without heads")
    assert main(["info", "efficientnetlite0-imagenet"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 300


def test_a_download_has_a_bar_on_a_terminal_and_is_quiet_elsewhere():
    for terminal in (True, False):
        drawn = io.StringIO()
        with download_bar("weights.pt", Console(file=drawn, force_terminal=terminal, width=100)) as show:
            show(1_000_000, 4_000_000)
            show(4_000_000, 4_000_000)
        assert ("weights.pt" in drawn.getvalue()) is terminal
        assert ("4.0/4.0 MB" in drawn.getvalue()) is terminal
        assert terminal or not drawn.getvalue()


def test_a_failed_run_leaves_its_folder_only_for_what_took_long(tmp_path):
    told = Told()

    def fail(run, write):
        with removed_on_failure(run, told):
            for name in write:
                (run / name).write_text("x")
            raise ValueError("failed")

    def check(run, write):
        with pytest.raises(ValueError, match="failed"):
            fail(run, write)

    check(tmp_path / "new", ["split.json"])
    check(tmp_path / "long", ["features-0a.bin", "split.json"])
    (tmp_path / "old").mkdir()
    check(tmp_path / "old", ["split.json"])
    assert not (tmp_path / "new").exists()
    assert [p.name for p in (tmp_path / "long").iterdir()] == ["features-0a.bin"]
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["split.json"]


def test_int8_images_are_chosen_from_a_table_with_columns_of_its_own(tmp_path):
    for i in range(8):
        Image.fromarray(np.full((8, 8), i, np.uint8)).save(tmp_path / f"{i}.png")
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(8)], "who": list("aabbccdd"), "Edema": [0, 1] * 4})
    table.to_csv(tmp_path / "mine.csv", index=False)
    chosen = choose_images(tmp_path / "mine.csv", None, columns=TableSpec(image="file", patient="who"))
    assert len(chosen.compared) == 4
