"""What each choice of weights gives, what each member adds, greedy selection, and the report on them."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.evaluation import report
from zoo.evaluation.ensembling import selection
from zoo.evaluation.ensembling.choosing import Weighed, weigh
from zoo.evaluation.ensembling.fitting import mean_logits
from zoo.evaluation.metrics import roc_auc
from zoo.evaluation.result import from_json, to_json
from zoo.evaluation.scores import Scores
from zoo.evaluation.tables import worse_than_a_member
from zoo.report.members import sections

FINDINGS = ("Edema", "Fracture")


def part(split: str, seed: int, n: int = 300) -> dict[str, Scores]:
    """A good member, a fair one, and one of large noise; two images a patient."""
    rng = np.random.default_rng(seed)
    truth = 2 * rng.normal(size=(n, 2))
    labels = (rng.random((n, 2)) < 1 / (1 + np.exp(-truth))).astype(float)
    labels[:5] = np.nan
    logits = {
        "good": truth + 0.5 * rng.normal(size=(n, 2)),
        "fair": 0.5 * truth + rng.normal(size=(n, 2)),
        "noise": 4 * rng.normal(size=(n, 2)),
    }
    logits = {"all": np.mean(list(logits.values()), axis=0), **logits}
    return {name: Scores(z, labels, FINDINGS, split, "hash", np.arange(n) // 2) for name, z in logits.items()}


def chosen(weighting="uniform", **options) -> tuple[EnsembleSpec, Weighed]:
    members = tuple(MemberSpec("tiny", alias=name) for name in ("good", "fair", "noise"))
    spec = EnsembleSpec("all", members, findings=FINDINGS, weighting=weighting)
    return spec, weigh(spec, part("validation", 1), part("test", 2), **options)


def macro(scores: dict[str, Scores], weights: list[float]) -> float:
    members = [scores[name] for name in ("good", "fair", "noise")]
    z = mean_logits(members, np.tile(np.array(weights)[:, None] / sum(weights), (1, 2)))
    return float(np.mean(roc_auc(members[0].labels, z)))


def test_fitted_weights_replace_the_word_and_the_logits_of_the_ensemble():
    spec, found = chosen("fitted")
    assert not isinstance(found.spec.weighting, str)
    assert np.array(found.spec.weighting, float)[0] > 0.6
    assert dataclasses.replace(found.spec, weighting="fitted") == spec
    for scores in (found.validation, found.test):
        members = [scores[name] for name in ("good", "fair", "noise")]
        np.testing.assert_allclose(scores["all"].logits, mean_logits(members, found.spec.shares), atol=1e-5)
    assert found.members is not None
    assert found.members.fit is not None
    assert found.members.fit.origin.split_hash == "hash"


def test_uniform_weights_leave_everything_as_it_is_and_other_choices_are_told():
    spec, found = chosen()
    assert found.spec is spec
    block, test = found.members, part("test", 2)
    assert block is not None
    assert (block.used, block.best, block.fit) == ("uniform", "good", None)
    assert list(block.choices) == ["uniform", "fitted", "fitted_per_finding", "greedy", "good"]
    uniform, alone = block.choices["uniform"], block.choices["good"]
    assert uniform.auc.value == pytest.approx(macro(test, [1, 1, 1]))
    assert alone.auc.value == pytest.approx(macro(test, [1, 0, 0]))
    assert uniform.auc_difference is None
    assert alone.auc_difference is not None
    assert alone.auc_difference.value == pytest.approx(macro(test, [1, 1, 1]) - macro(test, [1, 0, 0]))
    assert alone.auc_difference.high is not None
    assert alone.auc_difference.high < 0
    assert alone.auc.n == 2 * 295


def test_each_member_is_worth_what_the_ensemble_loses_without_it():
    _, found = chosen()
    assert found.members is not None
    test, held = part("test", 2), part("validation", 1)
    noise, good = found.members.members["noise"], found.members.members["good"]
    assert noise.without_auc.value == pytest.approx(macro(test, [1, 1, 1]) - macro(test, [1, 1, 0]))
    assert noise.without_auc.value < 0 < good.without_auc.value
    labels = held["good"].labels
    with_it, without = (np.mean([held[name].logits for name in names], axis=0) for names in (
        ("good", "fair", "noise"), ("good", "fair"),
    ))  # fmt: skip
    expected = selection.loss(without, labels) - selection.loss(with_it, labels)
    assert noise.without_log_loss.value == pytest.approx(expected)
    assert good.log_loss == pytest.approx(selection.loss(held["good"].logits, labels))
    assert (good.weight, sum(m.greedy for m in found.members.members.values())) == pytest.approx((1 / 3, 1))


def test_greedy_selection_is_the_best_of_the_sets_on_its_way():
    """Step by step by hand, and never worse than the best member, from which it starts."""
    held = part("validation", 1)
    z = np.stack([held[name].logits for name in ("good", "fair", "noise")], axis=2)
    labels = held["good"].labels
    counts, best = np.zeros(3), (np.inf, np.zeros(3))
    for _ in range(selection.ROUNDS):
        losses = [selection.loss(z @ (counts + one) / (counts.sum() + 1), labels) for one in np.eye(3)]
        counts[np.argmin(losses)] += 1
        best = min(best, (min(losses), counts.copy()), key=lambda pair: pair[0])
    found = selection.greedy(z, labels)
    np.testing.assert_allclose(found, best[1] / best[1].sum())
    assert selection.loss(z @ found, labels) <= min(selection.loss(z[:, :, i], labels) for i in range(3))


def test_given_numbers_are_used_as_they_are():
    spec, found = chosen((0.5, 0.25, 0.25))
    assert found.spec is spec
    assert found.members is not None
    assert found.members.used == "given"
    assert found.members.choices["given"].auc.value == pytest.approx(macro(part("test", 2), [2, 1, 1]))


def test_members_of_one_name_share_its_weight():
    """Such as those trained on other folds, which have common out-of-fold scores."""
    names = ("good-1", "good-2", "fair-1", "fair-2", "noise-1", "noise-2")
    members = tuple(MemberSpec("tiny", alias=name) for name in names)
    spec = EnsembleSpec("all", members, findings=FINDINGS, weighting="fitted")
    bases = [name[:-2] for name in names]
    found = weigh(spec, part("validation", 1), part("test", 2), bases=bases).spec.weighting
    one = chosen("fitted")[1].spec.weighting
    assert found == tuple(weight / 2 for weight in one for _ in range(2) if isinstance(weight, float))


def test_one_member_has_no_weights():
    spec = EnsembleSpec("all", (MemberSpec("tiny"),), findings=FINDINGS, weighting="fitted")
    held, test = ({"all": part(p, 1)["good"]} for p in ("validation", "test"))
    found = weigh(spec, held, test)
    assert (found.spec.weighting, found.members) == ("uniform", None)


def test_the_report_says_what_to_do_where_equal_weights_are_worse_than_a_member():
    _, found = chosen()
    result = report.evaluate(found.test)
    result = dataclasses.replace(result, members=found.members)
    assert from_json(json.loads(json.dumps(to_json(result)))) == result
    (line,) = [line for line in worse_than_a_member(result) if "good" in line]
    assert line.startswith("In mean AUC the mean with equal weights is worse than good alone by -0.")
    assert "fit the weights with `--set ensemble.weighting=fitted`; a finished run is not trained again" in line
    alone = dataclasses.replace(result, differences={})  # as `zoo evaluate` makes it, which has no other models
    assert [line] == worse_than_a_member(alone)
    text = report.markdown(result)
    assert line in text
    assert "The members are weighted equally." in text
    assert "| good alone (smallest log loss on the validation part) |" in text
    (section,) = sections(result)
    assert [len(table.rows) for table in section.tables] == [3, 5]
    fitted = dataclasses.replace(report.evaluate(chosen("fitted")[1].test), members=chosen("fitted")[1].members)
    assert not [line for line in worse_than_a_member(fitted) if "good" in line]
    assert "The weights of the members were fitted on the validation part, and shrunk towards equal" in report.markdown(
        fitted
    )


def test_weights_that_could_not_be_fitted_are_called_so():
    members = tuple(MemberSpec("tiny", alias=name) for name in ("good", "fair", "noise"))
    few = {
        name: dataclasses.replace(scores, patients=np.arange(300) % 3) for name, scores in part("validation", 1).items()
    }
    for weighting in ("fitted", "fitted_per_finding", "uniform"):
        spec = EnsembleSpec("all", members, findings=FINDINGS, weighting=weighting)
        found = weigh(spec, few, part("test", 2))
        assert found.spec.weighting == "uniform"
        text = report.markdown(dataclasses.replace(report.evaluate(found.test), members=found.members))
        assert "chosen by cross-validation" not in text
        told = (
            "weighted equally: no weights could be fitted on the validation part (3 patients with labels for a cross-"
        )
        assert (told in text) is (weighting != "uniform")
        # No row of the table is the uniform weights under another name.
        assert {"fitted", "fitted_per_finding"} & set(found.members.choices) == {weighting} - {"uniform"}


def test_the_report_names_the_part_that_weights_were_fitted_on():
    members = tuple(MemberSpec("tiny", alias=name) for name in ("good", "fair", "noise"))
    spec = EnsembleSpec("all", members, findings=FINDINGS)
    held = {name: dataclasses.replace(scores, split="out-of-fold") for name, scores in part("validation", 1).items()}
    found = weigh(spec, held, part("test", 2))
    result = dataclasses.replace(report.evaluate(found.test), members=found.members)
    assert from_json(json.loads(json.dumps(to_json(result)))) == result
    text = report.markdown(result)
    assert "of the out-of-fold predictions beside the members, of the test part beside the weights" in text
    assert "good alone (smallest log loss on the out-of-fold predictions)" in text
    (section,) = sections(result)
    assert section.tables[0].caption.endswith("on the out-of-fold predictions")
    assert "validation" not in text


def test_without_a_known_label_there_is_nothing_to_compare():
    members = tuple(MemberSpec("tiny", alias=name) for name in ("good", "fair", "noise"))
    held = {n: dataclasses.replace(s, labels=np.full(s.labels.shape, np.nan)) for n, s in part("validation", 1).items()}
    found = weigh(EnsembleSpec("all", members, findings=FINDINGS, weighting="fitted"), held, part("test", 2))
    assert (found.spec.weighting, found.members) == ("uniform", None)
