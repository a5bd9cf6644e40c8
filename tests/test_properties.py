"""What holds for any input: tables, splits, thresholds, probabilities, specifications, files in the making."""

import csv
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("hypothesis", reason="needs the extra dev")
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.config.specs import EnsembleSpec, MemberSpec, from_dict, to_dict
from zoo.core.csv import read_columns
from zoo.data.splits import SplitSpec, make_split
from zoo.evaluation.decision import Decision, probabilities
from zoo.evaluation.scores import Scores
from zoo.evaluation.thresholds import fit_point
from zoo.inference.resume import folder_of, open_journal

few = settings(max_examples=40, deadline=None, derandomize=True)
seeds = st.integers(0, 2**32 - 1)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).map(lambda t: f"x{t}".strip())


@few
@given(st.lists(st.lists(texts, min_size=3, max_size=3), min_size=1, max_size=8))
def test_a_table_is_read_as_it_was_written(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([["a", "b", "c"], *rows])
        assert [list(row) for row in zip(*read_columns(path).columns.values(), strict=True)] == rows


@few
@given(seeds, st.integers(12, 80), st.floats(0.1, 0.3), st.floats(0.1, 0.3))
def test_no_patient_is_in_two_parts_and_every_row_in_one(seed, n, validation, test):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({
        "Image_name": [f"{i}.png" for i in range(n)],
        "Patient_ID": rng.integers(0, n // 2 + 4, n).astype(str),
        "Edema": rng.integers(0, 2, n).astype(float),
    })  # fmt: skip
    spec = SplitSpec(fractions=(1 - validation - test, validation, test), seed=seed % 1000)
    parts = [*make_split(table, ["Edema"], spec).parts.values()]
    assert sorted(np.concatenate(parts)) == list(range(n))
    people = [set(table["Patient_ID"].iloc[rows]) for rows in parts]
    assert sum(map(len, people)) == len(set().union(*people))


@few
@given(seeds, st.integers(10, 60), st.floats(0.5, 0.95))
def test_a_threshold_reaches_its_sensitivity_on_the_images_it_was_fitted_on(seed, n, target):
    rng = np.random.default_rng(seed)
    labels = np.r_[0.0, 1.0, rng.integers(0, 2, n)][:, None]
    logits = np.round(rng.normal(size=labels.shape) + labels, 1).astype(np.float32)
    point = fit_point(Scores(logits, labels, ("Edema",), "validation"), "sensitivity_at_least", target=target)
    if point.thresholds[0] is not None:
        called = probabilities(logits)[labels == 1] >= point.thresholds[0]
        assert called.mean() >= target


@few
@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=20, unique=True), st.floats(0.05, 20))
def test_calibrated_probabilities_are_probabilities_in_the_same_order(values, temperature):
    logits = np.sort(np.asarray(values, np.float32))[:, None]
    found = probabilities(logits, Decision(("Edema",), (temperature,)))[:, 0]
    assert ((found >= 0) & (found <= 1)).all()
    assert (np.diff(found) >= 0).all()


@few
@given(st.integers(1, 4), st.integers(8, 300), st.floats(0, 0.9), st.lists(texts, min_size=1, max_size=5, unique=True))
def test_a_specification_is_read_as_it_was_written(members, size, dropout, findings):
    chosen = tuple(MemberSpec("tiny", head="gap", alias=f"m{i}", dropout=dropout) for i in range(members))
    spec = EnsembleSpec("name", chosen, image_size=size, findings=tuple(findings))
    assert from_dict(EnsembleSpec, json.loads(json.dumps(to_dict(spec))), "ensemble") == spec


class Stop(Exception): ...


@few
@given(st.lists(st.binary(max_size=9), min_size=1, max_size=6), st.data())
def test_a_file_in_the_making_goes_on_from_any_pair_of_cuts(pieces, data):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "rows.csv")
        with suppress(Stop), open_journal(out, {"model": "m"}) as log:
            for piece in pieces:
                log.append(piece, 1)
            raise Stop
        for path in (folder_of(out) / "rows", folder_of(out) / "record.jsonl"):
            content = path.read_bytes()
            path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        with open_journal(out, {"model": "m"}) as log:
            for piece in pieces[log.done.items :]:
                log.append(piece, 1)
        assert out.read_bytes() == b"".join(pieces)
