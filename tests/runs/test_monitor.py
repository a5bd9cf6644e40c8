"""`zoo monitor`: tables of every form against each other and against a release; what is refused, counted and told."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from builders import FINDINGS3, tiny_release

from zoo import cli
from zoo.core.errors import EvaluationError, ReleaseError, TableError, UsageError
from zoo.inference import parts
from zoo.inference.parts import PartFacts
from zoo.release.install import carry
from zoo.release.read import read_release
from zoo.release.tested import FILE, OwnScores
from zoo.runs.monitor import _with_calls, as_text, monitor
from zoo.runs.periods import read_period

K = len(FINDINGS3)


def long_table(n=60, seed=0, shift=0.0, scale=1.0, rejected=0.05, threshold=0.8, name="{:08d}_000.png"):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, K)).astype(np.float32)
    logits[:, 1] += shift
    chances = (1 / (1 + np.exp(-logits.astype(float) / scale))).astype(np.float32).ravel()
    return pd.DataFrame(
        {
            "image": np.repeat([name.format(1000 * seed + i + 1) for i in range(n)], K),
            "finding": [*FINDINGS3] * n,
            "probability": chances,
            "threshold": np.asarray(threshold, np.float32) + np.zeros(n * K, np.float32),
            "positive": chances >= np.asarray(threshold, np.float32),
            "error": "",
            "quality": np.repeat(np.where(rng.random(n) < rejected, "rejected", "ok"), K),
            "reason": "",
        }
    )


def wide_of(table):
    rows = table.drop_duplicates("image").set_index("image")
    return table.pivot(index="image", columns="finding", values="probability").assign(
        error=rows["error"], quality=rows["quality"]
    ).reset_index()  # fmt: skip


def written(table, path, **facts):
    if path.suffix == ".csv":
        table.to_csv(path, index=False, float_format="%.6g")
    else:
        pq.write_table(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(facts or None), path)
    return path


@pytest.fixture
def old(tmp_path):
    return written(long_table(), tmp_path / "old.parquet", manifest_sha256="a" * 64, decision="d")


def test_csv_and_parquet_in_both_forms_hold_the_same_period(tmp_path):
    table = long_table()
    first = table["image"] == table["image"][0]
    table["probability"] = table["probability"].where(~first)
    table["positive"] = table["positive"].astype("boolean").where(~first)
    table["error"] = np.where(first, "a.png: no such file", "")
    table.loc[table["finding"] == FINDINGS3[2], "error"] = "not trained"
    forms = [written(table, tmp_path / f"long.{end}") for end in ("csv", "parquet")]
    table = table[table["finding"] != FINDINGS3[2]]
    forms += [written(wide_of(table), tmp_path / f"wide.{end}") for end in ("csv", "parquet")]
    for path in forms:
        period = read_period(path).period
        assert set(period.findings) == set(FINDINGS3[:2])
        assert (len(period), period.unit) == (60, "patient")
        assert np.isnan(period.scores[0]).all()
        order = [period.findings.index(finding) for finding in FINDINGS3[:2]]
        wanted = table[table["finding"] != FINDINGS3[2]]["probability"].to_numpy().reshape(60, 2)
        assert np.allclose(period.scores[:, order], wanted, atol=1e-6, equal_nan=True)
        assert period.shares["unreadable"].tolist() == [1.0] + [0.0] * 59
        assert period.shares["rejected"].sum() == (table.drop_duplicates("image")["quality"] == "rejected").sum()
        if path.stem == "long":
            assert np.isnan(period.calls[0]).all()
            assert np.nansum(period.calls) == table["positive"].sum()


@pytest.mark.parametrize("end", ["csv", "parquet"])
def test_a_table_whose_first_thousand_images_are_unreadable_keeps_its_findings(tmp_path, end):
    wide = wide_of(long_table(n=1100))
    wide.loc[:1020, [*FINDINGS3]] = np.nan
    wide.loc[:1050, FINDINGS3[0]] = np.nan
    wide[FINDINGS3[2]] = np.nan
    read = read_period(written(wide, tmp_path / f"wide.{end}"))
    assert set(read.period.findings) == set(FINDINGS3[:2])
    counts = dict(zip(read.period.findings, (~np.isnan(read.period.scores)).sum(0), strict=True))
    assert counts == {FINDINGS3[0]: 49, FINDINGS3[1]: 79}
    assert f"wide.{end}: columns without a single prediction, left out: {FINDINGS3[2]}" in read.notes
    wide[[*FINDINGS3]] = np.nan
    with pytest.raises(TableError, match="none of its 1,100 rows has a prediction"):
        read_period(written(wide, tmp_path / f"none.{end}"))


def test_the_command_gives_a_table_a_page_json_and_a_status(tmp_path, old, capsys):
    same, other = (written(long_table(seed=s, shift=x), tmp_path / f"{s}.csv") for s, x in ((1, 0), (2, 2.5)))
    assert cli.main(["monitor", str(old), str(same)]) == 0
    assert "No alarm" in capsys.readouterr().out
    page = tmp_path / "page.html"
    assert cli.main(["monitor", str(old), str(other), "--html", str(page)]) == 3
    out = capsys.readouterr().out
    assert "not a medical device" in out
    assert [line.split()[0] for line in out.splitlines() if line.endswith(" ALARM")] == [FINDINGS3[1].split()[0]]
    assert max(map(len, out.split("\n\n")[1].splitlines())) <= 88
    text = page.read_text()
    assert "ALARM" in text
    assert "not a medical device" in text
    assert "<link" not in text
    assert "src=" not in text
    assert cli.main(["monitor", str(old), str(other), "--json", "--alpha", "0.01"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["alarm"] is True
    assert found["alpha"] == 0.01
    assert {c["name"] for c in found["changes"] if c["p"] <= 0.01} == {FINDINGS3[1]}
    with pytest.raises(SystemExit, match="2"):
        cli.main(["monitor", str(old), str(other), "--html", str(other)])
    assert f"a page ends in .html, got {other}" in capsys.readouterr().err
    assert cli.main(["monitor", str(old), str(tmp_path / "none.csv")]) == 1
    assert "none.csv" in capsys.readouterr().err


def test_features_are_compared_and_tables_of_two_kinds_are_not(tmp_path, old):
    def features(seed, shift, count=6, member="tiny"):
        values = np.random.default_rng(seed).normal(shift, size=(50, count)).astype(np.float32)
        values[0] = np.nan
        table = pd.DataFrame(values, columns=[f"{member}_{i:04d}" for i in range(count)])
        table.insert(0, "image", [f"{seed}_{i}.png" for i in range(50)])
        table["error"] = [f"{seed}_0.png: no such file"] + [""] * 49
        return table

    before = written(features(4, 0), tmp_path / "before.parquet")
    near, far = (written(features(2, shift), tmp_path / f"{shift}.csv") for shift in (0, 1))
    assert not monitor(before, near).alarms
    (alarm,) = monitor(before, far).alarms
    assert (alarm.about, alarm.name, alarm.measure, alarm.n, alarm.n_new) == ("features", "tiny", "MMD", 49, 49)
    assert "patients are not known" in as_text(monitor(before, near))
    with pytest.raises(TableError, match="one holds scores, the other features"):
        monitor(old, near)
    with pytest.raises(TableError, match="other members"):
        monitor(before, written(features(1, 0, count=5), tmp_path / "five.csv"))
    gap = features(3, 0).drop(columns="tiny_0003")
    with pytest.raises(TableError, match="'tiny' are not numbered from 0 without gaps"):
        monitor(before, written(gap, tmp_path / "gap.csv"))


@pytest.mark.parametrize(
    ("change", "facts", "said"),
    [
        (lambda t: t, {"manifest_sha256": "b" * 64}, "differ in the manifest's sha256: aaaaa.* and bbbbb"),
        (lambda t: t, {"decision": "e"}, "differ in the decision's hash: d and e"),
        (lambda t: t.assign(threshold=0.7), {}, "another threshold of 'Atelectasis': 0.8 and 0.7"),
        (lambda t: t[t["finding"] != FINDINGS3[0]], {}, f"only the first has '{FINDINGS3[0]}', only the second none"),
        (lambda t: pd.concat([t, t[:1]]), {}, "'00001001_000.png' has 'Atelectasis' twice"),
        (lambda t: t.assign(quality="fine"), {}, "'fine' is none of ok, doubtful, rejected, unknown"),
        (lambda t: t.assign(probability=np.inf), {}, "row 1, column 'probability': the number is not finite"),
        (lambda t: t.assign(probability="high"), {}, "numbers are needed, got large_string"),
        (lambda t: t.assign(threshold=np.where(t["image"] == t["image"][0], 0.7, 0.8)), {}, "threshold 0.8, and 0.7"),
        (lambda t: t[:0], {}, "the table has no rows"),
    ],
)
def test_what_cannot_be_compared_is_refused_by_name(tmp_path, old, change, facts, said):
    with pytest.raises(TableError, match=said):
        monitor(old, written(change(long_table(seed=1)), tmp_path / "new.parquet", **facts))


def test_patients_studies_and_unknown_patients(tmp_path):
    table = long_table(n=40, name="image{}.png")
    image = np.repeat(np.arange(40), K)
    for column, of, unit, units in (
        ({"Patient ID": [f"p{i // 2}" for i in image]}, "20 patients", "patient", 20),
        ({"Patient ID": ["unknown" if i < 4 else f"p{i // 2}" for i in image]}, "22 patients", "patient", 22),
        ({"Study ID": [f"s{i // 2}" for i in image]}, "20 studies", "study", 20),
    ):
        new = written(table.assign(**column), tmp_path / "new.csv")
        found = monitor(written(long_table(), tmp_path / "old.csv"), new)
        assert (found.new.images, found.new.units, found.new.unit, found.new.compared) == (40, units, unit, units)
        assert f"new.csv: 40 images of {of}, of which one each is drawn" in found.notes
    studies = table.rename(columns={"image": "study"})
    assert read_period(written(studies, tmp_path / "studies.csv")).period.unit == "study"
    own = pd.DataFrame({"study": [f"s{i}" for i in range(30)], "images": 2, "Spots": np.linspace(0, 1, 30)})
    by_study = read_period(written(own, tmp_path / "own.csv")).period
    assert (by_study.findings, by_study.unit) == (("Spots",), "study")
    few = written(table.assign(**{"Patient ID": [f"p{i % 19}" for i in image]}), tmp_path / "few.csv")
    with pytest.raises(EvaluationError, match="19 independent images"):
        monitor(tmp_path / "old.csv", few)


def test_who_the_patients_are_is_said_where_it_is_not_known(tmp_path, old):
    table = long_table(n=40, name="image{}.png")
    image = np.repeat(np.arange(40), K)
    mixed = written(table.assign(Patient=["" if i < 4 else f"p{i}" for i in image]), tmp_path / "mixed.csv")
    assert "mixed.csv: images whose patient is not known, each taken for one of its own: 4" in monitor(old, mixed).notes
    studies = written(table.assign(Study=["" if i < 3 else f"s{i}" for i in image]), tmp_path / "studies.csv")
    notes = monitor(old, studies).notes
    assert "studies.csv: images whose study is not known, each taken for one of its own: 3" in notes
    assert any(note.startswith("studies.csv: patients are not known, but studies are; where pat") for note in notes)


def test_rows_of_studies_are_compared_with_rows_of_studies(tmp_path, old):
    table = long_table(seed=1, name="{:08d}_000").rename(columns={"image": "study"})
    studies = written(table.assign(images=2), tmp_path / "studies.parquet")
    with pytest.raises(TableError, match="one holds probabilities, the other probabilities of studies"):
        monitor(old, studies)
    assert not monitor(studies, studies).alarms


def test_steps_of_an_isotonic_calibration_are_equal_in_csv_and_parquet(tmp_path):
    def stepped(seed):
        steps = np.array([0.0123456789, 0.123456789, 1 / 3, 7 / 9], np.float32)
        chances = steps[np.random.default_rng(seed).integers(0, 4, 60 * K)]
        return long_table(seed=seed).assign(probability=chances, positive=chances >= steps[2], threshold=steps[2])

    old, new = written(stepped(0), tmp_path / "old.parquet"), stepped(1)
    found = [monitor(old, written(new, tmp_path / f"new.{end}")) for end in ("csv", "parquet")]
    assert found[0].changes == found[1].changes
    assert not found[0].alarms


def test_a_table_that_skips_rejected_images_is_told(tmp_path, old):
    skipped = written(long_table(seed=1), tmp_path / "skipped.parquet", **{"rejected images": "skipped"})
    said = "rejected images have no scores in skipped.parquet alone (--on-reject skip): scores may differ by that"
    assert said in monitor(old, skipped).notes


def test_operating_points_of_another_name_with_the_same_thresholds_are_one(tmp_path):
    points = ("the release's own", "half")
    one, other = (
        written(long_table(seed=i), tmp_path / f"{i}.parquet", **{"operating point": point})
        for i, point in enumerate(points)
    )
    assert not monitor(one, other).alarms


def test_a_table_that_is_not_there_is_told_before_a_release_is_fetched(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        monitor("hf://nobody/nothing", tmp_path / "none.parquet")


def test_missing_scores_and_shared_patients_are_counted(tmp_path, old):
    table = long_table(seed=1)
    table.loc[:4, "probability"] = np.nan  # of two images
    table["image"] = table["image"].where(table.index >= 30, long_table()["image"])
    found = monitor(old, written(table, tmp_path / "new.parquet"))
    notes = found.notes
    assert f"n: 60 before, 60 now\nn of {', '.join(FINDINGS3[:2])}: 60 before, 58 now" in as_text(found)
    assert "new.parquet: images without a score of each finding (NaN): 2 of 60" in notes
    assert any(note.startswith("10 patients are in both tables") for note in notes)
    assert any(note.startswith("no model is stated in new.parquet") for note in notes)


def test_a_damaged_table_is_refused_in_one_line(tmp_path, old):
    whole = old.read_bytes()
    cut, torn = tmp_path / "cut.parquet", tmp_path / "torn.parquet"
    cut.write_bytes(whole[: len(whole) // 2])
    torn.write_bytes(whole[:100] + bytes(300) + whole[400:])
    for path, said in ((cut, "cannot be read as Parquet"), (torn, "damaged")):
        with pytest.raises(TableError, match=said):
            monitor(old, path)


def test_a_folder_of_a_cluster_is_read_when_it_is_complete_and_a_part_alone_is_not(tmp_path, old):
    table, folder = long_table(seed=1), tmp_path / "folder"
    folder.mkdir()
    for i, rows in enumerate(np.split(np.arange(60 * K), 2)):
        facts = PartFacts(i, 2, 60, 30, {"model": "a" * 16, "decision": "d"})
        kind = parts.PartFormat(facts)
        (folder / "rows").write_bytes(kind.piece(parts.placed(table.iloc[rows], np.arange(30) + 30 * i), first=True))
        kind.whole(folder / "rows").replace(folder / f"part-{i:05d}.parquet")
    with pytest.raises(TableError, match="_SUCCESS"):
        monitor(old, folder)
    with pytest.raises(TableError, match="zoo merge"):
        monitor(old, folder / "part-00000.parquet")
    (folder / "_SUCCESS").write_text("{}")
    found = monitor(old, folder)
    single = monitor(old, written(table, tmp_path / "single.parquet"))
    assert found.changes == single.changes
    assert not any("no model is stated" in note for note in found.notes)
    (folder / "part-00001.parquet").unlink()
    with pytest.raises(UsageError, match="of 2 shards, 1 part came, and shard 1 is missing"):
        monitor(old, folder)


def test_a_release_is_the_reference_by_the_scores_of_its_test_part(tmp_path):
    rng = np.random.default_rng(0)
    tested = OwnScores(
        rng.normal(size=(80, K)).astype(np.float32), np.arange(80, dtype=np.int32) // 2, np.zeros(80, np.uint8)
    )
    folder, older = (tiny_release(tmp_path / name, members=1) for name in ("release", "older"))
    tested.write(tmp_path)
    carry(folder, {FILE: tmp_path / FILE})
    decision = read_release(folder).decision
    threshold = np.tile(np.array(decision.point().thresholds, np.float32), 60)
    near = written(long_table(seed=1, scale=1.7, threshold=threshold), tmp_path / "near.parquet")
    found = monitor(str(folder), near)
    assert not found.alarms
    assert (found.reference.images, found.reference.units, found.reference.compared) == (80, 40, 40)
    far = written(wide_of(long_table(seed=2, shift=-3)), tmp_path / "far.csv")
    changed = monitor(folder, far)
    assert {alarm.about for alarm in changed.alarms} == {"scores", "calls"}
    assert any("they were made at" in note for note in changed.notes)
    third = replace(decision.point(), thresholds=(1 / 3,) * K)
    low = written(wide_of(long_table(seed=1)).assign(**{FINDINGS3[1]: np.float32(1 / 3)}), tmp_path / "third.csv")
    called = _with_calls(
        read_period(low), replace(decision, operating_points={decision.default: third}), decision.default
    )
    assert called.period.calls[:, called.period.findings.index(FINDINGS3[1])].all()
    with pytest.raises(TableError, match="thresholds are those of no operating point of the release"):
        monitor(folder, written(long_table(seed=1, threshold=0.31), tmp_path / "other.csv"))
    with pytest.raises(TableError, match="manifest's sha256"):
        monitor(folder, written(long_table(threshold=threshold), tmp_path / "b.parquet", manifest_sha256="b" * 64))
    with pytest.raises(ReleaseError, match=r"holds no scores of its test part.*zoo predict IMAGES --out reference"):
        monitor(older, near)
