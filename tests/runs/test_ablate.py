"""`zoo ablate` at its smallest: two ingredients, two seeds, stopped in the middle and gone on with."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from zoo.cli import main
from zoo.core.progress import Silent
from zoo.data.phantoms.drawing import make_phantoms
from zoo.labels.studies import study_of_name

pytest.importorskip("tensorflow", reason="training reads its images through tf.data")
pytest.importorskip("sklearn", reason="the pixel baseline is scikit-learn's")

DEFINITION = """
from dataclasses import replace
from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data import augment
from zoo.data.splits import SplitSpec
from zoo.training.ablation import Ablation
from zoo.training.recipe import Recipe, Stage

ablation = Ablation(
    name="small",
    recipe=Recipe(
        name="small",
        ensemble=EnsembleSpec("small", (MemberSpec("tiny"),), image_size=16),
        stages=(Stage(name="s", epochs=2, batch_size=16, learning_rate=1e-2, ema_momentum=0.9, schedule="constant"),),
        augment=augment.NONE,
        split=SplitSpec(by="patient", fractions=(0.5, 0.25, 0.25), seed=1),
        precision="float32",
    ),
    without={"EMA": ("recipe.stages.0.ema_momentum=null",), "studies": ("by_study=false",)},
    seeds=(3, 4),
    by_study=True,
)
"""


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    folder = tmp_path_factory.mktemp("phantoms")
    make_phantoms(folder, 90, seed=3, size=32)
    return folder


def test_every_cell_is_trained_once_and_the_same_command_goes_on(phantoms, tmp_path, capsys, monkeypatch):
    from zoo.runs import ablate
    from zoo.training import stages

    trained, real = [], stages.train

    def counted(recipe, *arguments, **options):
        trained.append((recipe.seed, recipe.stages[0].ema_momentum))
        if len(trained) == 2:
            return SimpleNamespace(stopped="max_hours")
        if len(trained) == 4:
            raise KeyboardInterrupt  # the process is killed
        return real(recipe, *arguments, **options)

    monkeypatch.setattr(ablate.stages, "train", counted)
    (tmp_path / "small.py").write_text(DEFINITION)
    asked = ["ablate", str(tmp_path / "small.py"), "--data", str(phantoms), "--out", str(tmp_path / "out")]
    assert main(asked) == 75
    assert "| studies | 1 |" in capsys.readouterr().out  # what is done so far
    assert main(asked) == 130
    assert len(list((tmp_path / "out" / "cells").iterdir())) == 3
    assert main(asked) == 0
    # By study or not is no matter of training: two trainings a seed make three cells, and none is made twice.
    assert trained == [(3, 0.9), (3, None), (3, None), (4, 0.9), (4, 0.9), (4, None)]
    shown = capsys.readouterr().out
    assert "| EMA | 2 |" in shown
    assert "| studies | 2 |" in shown
    saved = json.loads((tmp_path / "out" / "ablation.json").read_text())
    assert [(row["name"], row["seeds"]) for row in saved["rows"]] == [("all", 2), ("EMA", 2), ("studies", 2)]
    assert saved["rows"][2]["gain"]["patients"] == saved["patients"]
    assert not list((tmp_path / "out" / "runs").iterdir())
    assert_means_of_studies(tmp_path / "out" / "cells")
    assert main(asked) == 0
    assert len(trained) == 6
    assert main([*asked, "--set", "stages.0.epochs=1"]) == 1
    assert "made with another recipe" in capsys.readouterr().err


def assert_means_of_studies(folder):
    """With "by study" each image has the mean logits of its study's images, without it its own."""
    cells = {}
    for cell in folder.iterdir():
        name, _, seed = cell.name.rsplit("-", 2)
        cells[name, seed] = pd.read_csv(cell / "predictions.csv", index_col="Image_name")
    joined, alone = cells["all", "3"], cells["studies", "3"]
    studies = alone.index.map(study_of_name)
    assert studies.has_duplicates
    pd.testing.assert_frame_equal(joined, alone.groupby(studies).transform("mean"), rtol=1e-5, check_dtype=False)


def test_definitions_that_do_not_fit_are_refused(tmp_path, capsys):
    bad = (
        ("without={", "without={'nothing': ('by_study=true',), ", "without 'nothing' nothing changes"),
        ("seeds=(3, 4)", "seeds=(3,)", "two different seeds or more"),
        ("by_study=false", "stages.0.epochs=1", "unknown field 'stages'"),
        ("by_study=false", "recipe.cache=never", "without 'studies' nothing changes"),
        ("by_study=false", "recipe.seed=9", "without 'studies' recipe.seed changes, which is the same for all"),
        ("by_study=false", "recipe.split.seed=2", "without 'studies' recipe.split changes, which is the same for all"),
        ('"by_study=false"', "'recipe.ensemble.findings=[\"Edema\"]'", "ensemble.findings changes, which is the same"),
        ("ablation = Ablation", "other = Ablation", "expected an Ablation called 'ablation'"),
    )
    for old, new, message in bad:
        (tmp_path / "bad.py").write_text(DEFINITION.replace(old, new))
        assert main(["ablate", str(tmp_path / "bad.py"), "--data", str(tmp_path)]) == 1
        assert message in capsys.readouterr().err


def test_a_cell_that_was_cut_off_or_altered_is_none(tmp_path):
    from zoo.core.files import seal, sha256
    from zoo.runs import ablate

    logits, listed = tmp_path / "predictions.csv", tmp_path / "cell.json"
    logits.write_text("Image_name,logit_Edema\na.png,0.5\n")
    facts = {"of": {"split": "5"}, "seconds": 1.0}
    assert ablate._facts(tmp_path) is None
    listed.write_text(json.dumps(facts))
    assert ablate._facts(tmp_path) == facts, "of an earlier version"
    whole = json.dumps(seal(facts | {"logits": sha256(logits)}))
    listed.write_text(whole)
    assert ablate._facts(tmp_path)["of"] == {"split": "5"}
    for damaged in (whole[:40], "\0" * len(whole), whole.replace('"5"', '"6"')):
        listed.write_text(damaged)
        assert ablate._facts(tmp_path) is None
    listed.write_text(whole)
    logits.write_text("Image_name,logit_Edema\na.png,0.6\n")
    assert ablate._facts(tmp_path) is None


def test_the_table_tells_what_is_left_out_and_that_cells_were_made_on_two_backends(phantoms, tmp_path, monkeypatch):
    """As where the same command goes on with another KERAS_BACKEND, and a finding has no positives to learn from."""
    from zoo.runs import ablate
    from zoo.training.ablation import load_ablation

    (tmp_path / "small.py").write_text(DEFINITION)
    ablation, folder = load_ablation(tmp_path / "small.py"), tmp_path / "out"
    folder.mkdir()
    held = ablate.training_data.prepare(ablation.recipe, phantoms, None, folder, Silent())
    held.table.loc[held.split.rows("train"), "Edema"] = np.float32(0)
    work = ablate._Work(folder, ablation, held)
    rng = np.random.default_rng(0)

    def assessed(recipe, table, split, run, progress, read):
        rows, trained = split.rows("test"), ablate.trained_findings(recipe, table, split)
        logits = rng.normal(size=(len(rows), 14))
        scores = ablate.assess.scores_of(table, split, "test", rows, logits, recipe, trained)
        return SimpleNamespace(scores=scores)

    monkeypatch.setattr(ablate.assess, "assess", assessed)
    for seed, backend in ((3, "tensorflow"), (4, "jax")):
        monkeypatch.setattr(ablate.resuming, "versions", lambda backend=backend: {"backend": backend})
        for name in ablation.variants:
            ablate._score(work.variant(name, seed), work, folder, ablate._cell(work, name, seed), 1.0, Silent())
    found = ablate._compare(work)
    assert found.notes == (
        "Not trained by every variant, so left out: Edema.",
        "The cells were not all made alike, which may be part of the differences: backend jax; backend tensorflow.",
    )
    page = (folder / ablate.PAGE).read_text()
    assert all(note in page for note in found.notes)
    scores = ablate._scores(ablate._cell(work, "all", 3), work, ablate._trained(work))
    assert np.isnan(scores.labels[:, held.recipe.ensemble.findings.index("Edema")]).all()


def test_a_variant_starts_from_weights_of_others_with_the_pixels_that_they_expect(tmp_path, monkeypatch):
    from zoo.config.pixels import NAMED
    from zoo.names import porting
    from zoo.runs import ablate
    from zoo.training.ablation import load_ablation

    changes = "recipe.stages.0.ema_momentum=null", "recipe.ensemble.members.0.weights=port"
    (tmp_path / "small.py").write_text(DEFINITION.replace(*changes))

    def start_of(member):
        return replace(member, pixels=NAMED["xrv"]) if member.weights == "port" else member

    monkeypatch.setattr(porting, "start_of", start_of)
    work = ablate._Work(tmp_path, load_ablation(tmp_path / "small.py"), None)
    pixels = [work.variant(name, 3).recipe.ensemble.members[0].pixels for name in ("all", "EMA")]
    assert pixels == [None, NAMED["xrv"]]
