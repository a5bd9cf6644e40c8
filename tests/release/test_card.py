"""A card says what the release says, and no more; the committed ones are those that their facts render to.

`python hub_cards/render.py` renders the committed cards again.
"""

import dataclasses
import importlib.util
import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from builders import tiny_spec
from finished_run import finished_run
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import model_index_to_eval_results

from zoo.config.specs import MemberSpec, to_dict
from zoo.core import home
from zoo.core.errors import ReleaseError
from zoo.evaluation.result import to_json
from zoo.names.catalog import CATALOG
from zoo.release import card
from zoo.release.documents import Storage
from zoo.release.small_files import read_evaluation

CARDS = Path(__file__).parents[2] / "hub_cards"
_SPEC = importlib.util.spec_from_file_location("render", CARDS / "render.py")
assert _SPEC is not None
assert _SPEC.loader is not None
render = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(render)
DEMO, ENSEMBLE = CATALOG["xrayslam-demo"].spec, CATALOG["xrayslam-ensemble"].spec


@pytest.fixture(scope="module")
def run():
    return finished_run(tiny_spec())


def _block(text, name):
    return re.search(rf"<!-- zoo:begin {name} -->\n(.*?)<!-- zoo:end {name} -->", text, re.DOTALL)[1]


def _front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


# The committed cards


@pytest.mark.parametrize("name", ["nih-lite", "xrayslam-demo", "xrayslam-ensemble"])
def test_a_committed_card_is_what_its_facts_render_to(name):
    assert (CARDS / name / "README.md").read_bytes().decode("utf-8") == render.render(name)


def test_the_release_in_the_wheel_has_the_committed_card():
    assert (home.INCLUDED / "nih-lite" / "README.md").read_bytes() == (CARDS / "nih-lite" / "README.md").read_bytes()


def test_the_facts_beside_a_card_are_all_that_it_shows_of_a_run(run):
    few = render.shown(run["result"])
    assert card.render(tiny_spec(), **(run | {"result": few})) == card.render(tiny_spec(), **run)
    assert len(json.dumps(to_json(few))) < 0.3 * len(json.dumps(to_json(run["result"])))
    assert (CARDS / "xrayslam-demo" / "facts.json").stat().st_size < 60_000


def test_a_card_takes_its_facts_from_a_run(run, tmp_path, monkeypatch):
    release = tmp_path / "run" / "release"
    release.mkdir(parents=True)
    documents = {
        "release/config": {"ensemble": to_dict(tiny_spec())},
        "release/metrics": to_json(run["result"]),
        "release/decision": {"ensemble": run["decision"].to_dict()},
        "provenance": run["provenance"],
    }
    for name, document in documents.items():
        (tmp_path / "run" / f"{name}.json").write_text(json.dumps(document), "utf-8")
    monkeypatch.setattr(render, "CARDS", tmp_path / "cards")
    (tmp_path / "cards" / "tiny-ensemble").mkdir(parents=True)
    facts = tmp_path / "cards" / "tiny-ensemble" / "facts.json"
    facts.write_text(render.lines(render.facts_of(tmp_path / "run")), "utf-8")
    assert render.render("tiny-ensemble") == card.render(tiny_spec(), **run)


def _shown(number):
    text = "–" if number.value is None else f"{number.value:.3f}"
    return text if number.low is None else f"{text} [{number.low:.3f}, {number.high:.3f}]"


def test_every_figure_of_the_demos_results_is_in_its_metrics():
    _, result, _ = render.read_facts(CARDS / "xrayslam-demo" / "facts.json")
    text = (CARDS / "xrayslam-demo" / "README.md").read_text("utf-8")
    tables = _block(text, "results").partition("The weights of the members")[0]
    rows = [line.strip("| ").split(" | ") for line in tables.splitlines() if line.startswith("| ")]
    cells = {row[0]: row[1:] for row in rows}
    for finding, row in result.findings.items():
        assert cells[finding][:3] == [str(row.auc.n), str(row.auc.positives), _shown(row.auc)]
        assert set(cells[finding][3:]) <= {_shown(number) for number in row.by_measure.values()}
    assert set(cells["**Mean over findings**"][2:]) <= {_shown(number) for number in result.macro.by_measure.values()}
    for name, model in {result.model: result.numbers, **result.models}.items():
        assert cells[name][:2] == [_shown(model.macro.get(m)) for m in ("auc", "average_precision")]
    assert len(cells) == len(result.findings) + len(result.models) + 4
    _, results = model_index_to_eval_results(_front_matter(text)["model-index"])
    for finding, row in result.findings.items():
        [found] = [r for r in results if r.metric_name == f"AUC, {finding}"]
        assert found.metric_value == round(row.auc.value, 4)


def test_a_card_tells_what_a_stage_does_otherwise_for_a_member():
    training = _block((CARDS / "xrayslam-demo" / "README.md").read_text("utf-8"), "training")
    assert "members side by side" in training
    assert "\n- In stage1, efficientnetb3: epochs 4, learning rate 0.002.\n" in training


def test_a_card_tells_which_weights_of_a_stage_are_kept(run):
    def told(folds=0, **changes):
        recipe = run["provenance"]["recipe"]
        recipe = {**recipe, "folds": folds, "stages": [{**recipe["stages"][0], **changes}]}
        return _block(
            card.render(tiny_spec(), **(run | {"provenance": run["provenance"] | {"recipe": recipe}})), "training"
        )

    assert "- The weights with the best AUC on the validation part are kept" in told()
    assert "- The weights with the best AUC on the fold that they were trained without are kept" in told(folds=3)
    soup = told(soup=4)
    assert "a greedy soup (Wortsman et al. 2022): of those at the end of the 4 epochs with the best AUC" in soup
    assert "best AUC on the validation part are kept" not in soup
    more = told(ema_momentum=0.9, accumulate=2, layer_decay=0.7, image_size=16)
    assert "- In only: the moving average of the weights is validated and kept, with momentum 0.9.\n" in more
    assert more.count("- In only: ") == 4
    assert "- In only: " not in told()


def test_the_ensembles_card_claims_no_result():
    text = (CARDS / "xrayslam-ensemble" / "README.md").read_text("utf-8")
    results = _block(text, "results")
    assert "The user trains the weights" in results
    assert re.search(r"original authors.*0\.91.*0\.89.*image-level split.*not reproduced here", results, re.DOTALL)
    assert "github.com/hannahjan06/X-ray-Slab-B-Kaggle" in results
    assert {"model-index", "metrics", "license"}.isdisjoint(_front_matter(text))


# What is rendered


def test_the_hub_takes_the_card_and_reads_the_results_back(hub, run):
    text = card.render(tiny_spec(), license="mit", **run)
    parsed = ModelCard(text)
    parsed.validate()
    assert ("POST", "/api/validate-yaml") in {entry[:2] for entry in hub.log}
    assert str(parsed) == text
    name, results = model_index_to_eval_results(_front_matter(text)["model-index"])
    assert name == "tiny-ensemble"
    assert {r.dataset_split for r in results} == {"test"}
    assert {r.dataset_args["split_hash"] for r in results} == {"5" * 64}
    by_name = {r.metric_name: r for r in results}
    assert by_name["AUC, mean over findings"].metric_value == round(run["result"].macro.auc.value, 4)
    weighted = run["result"].weighted.get("f1", "max_f1_sweep").value
    assert by_name["F1 at max_f1_sweep, weighted by positives"].metric_value == round(weighted, 4)
    edema = run["result"].findings["Edema"].auc
    assert by_name["AUC, Edema"].metric_args["n"] == edema.n
    assert len(results) == 3 + len(tiny_spec().findings)


def test_what_a_run_recorded_is_told(run):
    training = {"hours": 0.25, "device": "2 CPU cores"}
    given = run | {"provenance": run["provenance"] | {"training": training}}
    text = card.render(tiny_spec(), **given, storage=Storage("float16", 0.00123))
    assert "no patient is in two parts" in _block(text, "data")
    assert "1,234 train, 120 validation, 120 test" in _block(text, "data")
    assert "5" * 64 in _block(text, "data")
    assert "| only | 3 | 8 | 0.001 | plateau | 0 | 1.0 | 3 | all layers |" in _block(text, "training")
    assert "rotation 7.0" in _block(text, "training")
    assert "| max_f1_sweep | max_f1_sweep | – | validation | 555555555555 | 2026-01-02 |" in _block(
        text, "operating-points"
    )
    assert f"{run['decision'].temperature[0]:.3f}, fitted on the validation part" in _block(text, "calibration")
    assert "0.25 hours on 2 CPU cores" in _block(text, "environment")
    assert "float16" in _block(text, "model")
    assert "0.0012" in _block(text, "model")
    assert "pixel baseline" in _block(text, "results")


def test_what_is_missing_is_said_and_not_made_up():
    text = card.render(tiny_spec(), None, provenance={"seed": 3})
    for name, says in {
        "data": "name of the data set is not recorded",
        "labels": "is not recorded",
        "training": "Not recorded.",
        "results": "Not evaluated.",
        "operating-points": "None fitted.",
        "calibration": "No temperature was fitted.",
        "subgroups": "Not evaluated",
        "speed": "make bench",
        "environment": "Not measured",
        "notice": "Licence of the weights: not given.",
    }.items():
        assert says in _block(text, name), name
    assert {"model-index", "datasets", "metrics", "license"}.isdisjoint(_front_matter(text))


def test_how_to_load_it_from_the_hub_or_from_its_folder():
    text = _block(card.render(tiny_spec(), None, repo="clinic/chest"), "use")
    assert 'zoo.load("hf://clinic/chest")' in text
    assert 'zoo.load("hf://clinic/chest@COMMIT")' in text
    assert 'zoo.load("./FOLDER")' in _block(card.render(tiny_spec(), None), "use")


def test_words_on_the_data_hold_only_for_the_data(run):
    phantoms = card.render(DEMO, None, provenance={"seed": 1, "data": {"name": "phantoms"}})
    assert "has never seen a real chest X-ray" in phantoms
    assert _front_matter(phantoms)["license"] == "apache-2.0"
    assert _front_matter(phantoms)["datasets"] == ["xrayslam-phantoms"]
    own = card.render(DEMO, None, provenance={"seed": 1, "data": {"name": "Our own films"}})
    assert "drawing" not in own
    assert "Trained on **Our own films**" in own
    assert "license" not in _front_matter(own)
    assert _front_matter(own)["datasets"] == ["our-own-films"]
    unnamed = card.render(DEMO, None, provenance={"seed": 1})
    assert "drawing" not in unnamed
    stranger = dataclasses.replace(ENSEMBLE, members=(MemberSpec("densenet121"),))
    assert "X-ray-Slab-B" not in card.render(stranger, None)
    assert "X-ray-Slab-B" in card.render(ENSEMBLE, None)


def test_a_model_of_ones_own_may_have_words_too(tmp_path, monkeypatch):
    shutil.copy(card.template(), tmp_path)
    (tmp_path / "tiny-ensemble.toml").write_text(
        'backbones = ["tiny", "tiny"]\nsummary = "Two of them."\n[data.ours]\ntitle = "Ours"\nlicense = "other"\n'
        'license_name = "ours-1.0"\nlicense_link = "https://example.org"\n'
    )
    monkeypatch.setattr(home, "shipped", lambda name: tmp_path)
    text = card.render(tiny_spec(), None, provenance={"data": {"name": "ours"}})
    assert "Two of them." in text
    found = _front_matter(text)
    assert [found[k] for k in ("license", "license_name", "license_link")] == [
        "other",
        "ours-1.0",
        "https://example.org",
    ]
    assert "license_name" not in _front_matter(card.render(tiny_spec(), None, license="mit"))


def test_names_that_others_chose_break_nothing():
    evil = "A|B <!-- zoo:end results -->\n# Not a heading"
    spec = dataclasses.replace(tiny_spec(), findings=(evil, "Edema"), name="nobody-knows-it")
    spec = dataclasses.replace(spec, members=(MemberSpec("tiny", weights="/home/jane/secret/start.weights.h5"),))
    text = card.render(spec, license="mit", **finished_run(spec))
    assert card.merge(text, text) == text
    assert "# Not a heading" not in text.splitlines()
    assert "jane" not in text
    assert "start.weights.h5" in text
    tables = re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)
    assert len(tables) >= 6
    for table in tables:
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1, table
    assert _front_matter(text)["model-index"][0]["results"][0]["metrics"][3]["name"] == f"AUC, {evil}"


def test_parts_of_different_runs_are_refused(run):
    with pytest.raises(ReleaseError, match=r"'model' is missing"):
        read_evaluation({"split": "test"})
    with pytest.raises(ReleaseError, match="finished run"):
        card.render(tiny_spec(), run["result"], provenance={"recipe": {"name": "half"}})
    with pytest.raises(ReleaseError, match="finished run"):
        card.render(tiny_spec(), None, provenance={"data": "phantoms"})


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("nan", "An uncertain label (-1) counts as unknown, too."),
        ("one", "In training an uncertain label (-1) counts as 1 (present). In the validation and test parts it"),
        (
            "0.55..0.85",
            "In training an uncertain label (-1) counts as a number drawn from 0.55..0.85. In the validation",
        ),
        (
            {"Edema": "one", "Mass": "0..0.3"},
            "otherwise as unknown: Edema as 1, Mass as a number drawn from 0..0.3. In the",
        ),
    ],
)
def test_a_card_says_what_uncertain_labels_became(run, rule, words):
    provenance = run["provenance"] | {"recipe": run["provenance"]["recipe"] | {"uncertain": rule}}
    assert words in card.render(tiny_spec(), **(run | {"provenance": provenance}))
