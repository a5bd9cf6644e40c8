"""`--shard` and `zoo merge`: parts scored apart become the table that one process writes, or are refused."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import standin

from zoo.cli import main
from zoo.core.errors import CheckpointError, TableError, UsageError
from zoo.core.progress import Silent
from zoo.evaluation.studies.rule import StudyRule
from zoo.inference import parts, resume
from zoo.inference.embedding import Embedder
from zoo.inference.shards import Shard
from zoo.runs.embed import write_features
from zoo.runs.merge import Merged, merge
from zoo.runs.predict_studies import write_study_findings

pytest.importorskip("pyarrow")
N = 3


@pytest.fixture
def films(tmp_path):
    return standin.make_films(tmp_path / "films")


def shards(films, out, n=N, **options):
    for i in range(n):
        standin.write(films, out, shard=Shard(i, n), **options)
    return out.with_name(f"{out.name}.parts")


@pytest.mark.parametrize("wide", [False, True])
def test_merged_csv_is_that_of_one_process_byte_for_byte(films, tmp_path, wide):
    whole, out = tmp_path / "whole.csv", tmp_path / "new" / "f.csv"
    counts = standin.write(films, whole, wide=wide)
    folder = shards(films, out, wide=wide)
    assert sorted(p.name for p in folder.iterdir()) == [f"0000{i}-of-00003.parquet" for i in range(N)]
    rows = 18 * (1 if wide else 3)
    assert merge([folder], out, Silent()) == Merged(N, 18, rows, counts.images, counts.unreadable, 0, 0)
    assert out.read_bytes() == whole.read_bytes()


def test_merged_parquet_has_the_rows_columns_and_types_of_one_process(films, tmp_path):
    import pyarrow.parquet as pq

    whole, out = tmp_path / "whole.parquet", tmp_path / "f.parquet"
    standin.write(films, whole)
    parts = sorted(shards(films, out).iterdir())
    merge(parts[::-1], out, Silent())
    one, two = pq.read_table(whole), pq.read_table(out)
    assert two.schema.equals(one.schema, check_metadata=True)
    assert two.equals(one)


def test_rows_are_put_in_order_piece_by_piece(films, tmp_path, monkeypatch):
    whole, out = tmp_path / "whole.csv", tmp_path / "f.csv"
    standin.write(films, whole)
    folder = shards(films, out)
    monkeypatch.setattr("zoo.runs.merge._ROWS", 12)  # four images
    monkeypatch.setattr("zoo.runs.merge._READ", 2)
    merge([folder], out, Silent())
    assert out.read_bytes() == whole.read_bytes()


def test_more_shards_than_images_leave_empty_parts(films, tmp_path):
    whole, out = tmp_path / "whole.csv", tmp_path / "f.csv"
    standin.write(films, whole)
    found = merge([shards(films, out, n=25)], out, Silent())
    assert (found.parts, out.read_bytes()) == (25, whole.read_bytes())


def test_studies_stay_together(films, tmp_path):
    for i, path in enumerate(sorted(films.rglob("*.png"))):
        path.rename(films / f"{i % 7:08d}_001_{i:03d}.png")
    model = standin.predictor()
    model = model.with_decision(
        replace(model.decision, studies=StudyRule(("mean", "max", "mean"), "validation", studies=5))
    )
    whole, out = tmp_path / "whole.csv", tmp_path / "f.csv"
    for wide in (False, True):
        one = write_study_findings(model, [films], whole, Silent(), wide=wide, restart=True)
        apart = [
            write_study_findings(model, [films], out, Silent(), wide=wide, restart=True, shard=Shard(i, N))
            for i in range(N)
        ]
        assert sum(c.studies for c in apart) == one.studies == 7
        found = merge([tmp_path / "f.csv.parts"], out, Silent())
        assert (found.units, found.images, found.unreadable) == (7, one.images, one.unreadable)
        assert out.read_bytes() == whole.read_bytes()


def test_features_keep_the_facts_of_their_file(films, tmp_path, monkeypatch):
    import pyarrow.parquet as pq

    model = standin.predictor()
    features = Embedder(model.runtime, {"tiny0": 3}, 32)
    monkeypatch.setattr("zoo.runs.embed.embedder", lambda predictor: features)
    for kind in ("parquet", "csv"):
        whole, out = tmp_path / f"whole.{kind}", tmp_path / f"e.{kind}"
        write_features(model, [films], whole, Silent())
        for i in range(N):
            write_features(model, [films], out, Silent(), shard=Shard(i, N))
        merge([tmp_path / f"e.{kind}.parts"], out, Silent())
        if kind == "csv":
            assert out.read_bytes() == whole.read_bytes()
        else:
            one, two = pq.read_table(whole), pq.read_table(out)
            assert two.equals(one)
            assert two.schema.equals(one.schema, check_metadata=True)
            assert two.schema.metadata[b"manifest_sha256"] == b"5" * 64


def test_gaps_and_doubles_are_refused_by_name(films, tmp_path):
    out = tmp_path / "f.csv"
    folder = shards(films, out)
    copy = shutil.copy(folder / "00001-of-00003.parquet", tmp_path / "again.parquet")
    with pytest.raises(UsageError, match=r"shard 1 of 3 is given twice: .*00001-of-00003.parquet and .*again.parquet"):
        merge([folder, Path(copy)], out, Silent())
    (folder / "00001-of-00003.parquet").unlink()
    with pytest.raises(UsageError, match="of 3 shards, 2 parts came, and shard 1 is missing: score it, then"):
        merge([folder], out, Silent())
    (folder / "00002-of-00003.parquet").unlink()
    with pytest.raises(UsageError, match="of 3 shards, 1 part came, and shards 1, 2 are missing: score them, then"):
        merge([folder], out, Silent())
    assert not out.exists()


def test_parts_of_other_lists_models_and_numbers_of_shards_show_both(films, tmp_path):
    one = shards(films, tmp_path / "one.csv")
    first = one / "00000-of-00003.parquet"

    def other(name, **options):
        out = tmp_path / name
        standin.write(films, out, **{"shard": Shard(1, N)} | options)
        return next(out.with_name(f"{name}.parts").iterdir())

    model = standin.predictor()
    model.manifest_sha256 = "6" * 64
    refused = [
        (other("model.csv", model=model), f"model {'5' * 16} and {'6' * 16}"),
        (other("n.csv", shard=Shard(1, 4)), "shards 3 and 4"),
        (other("wide.csv", wide=True), "form long csv and wide csv"),
    ]
    (films / "new.png").write_bytes((films / "patient1" / "film001.png").read_bytes())
    refused.append((other("list.csv"), "of 18 images and [0-9a-f]{16} of 19 images; units 18 and 19"))
    for part, why in refused:
        message = f"{re.escape(str(first))} and {re.escape(str(part))} are parts of different tables: .*{why}"
        with pytest.raises(TableError, match=message):
            merge([first, part], tmp_path / "out.csv", Silent())


def test_what_is_no_part_is_refused(films, tmp_path):
    out = tmp_path / "f.parquet"
    standin.write(films, tmp_path / "whole.parquet")
    with pytest.raises(TableError, match=r"whole.parquet: not a part of a table: `zoo predict --shard I/N` writes"):
        merge([tmp_path / "whole.parquet"], out, Silent())
    (tmp_path / "torn.parquet").write_bytes((tmp_path / "whole.parquet").read_bytes()[:-5])
    with pytest.raises(TableError, match=r"torn.parquet: not a part of a table, it cannot be read as Parquet"):
        merge([tmp_path / "torn.parquet"], out, Silent())
    (tmp_path / "none").mkdir()
    with pytest.raises(UsageError, match="none: no part in this folder"):
        merge([tmp_path / "none"], out, Silent())


def test_a_part_whose_rows_were_changed_is_refused(films, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = shards(films, tmp_path / "f.csv")
    path = max(folder.iterdir(), key=lambda p: p.stat().st_size)
    file = pq.ParquetFile(path)
    table, facts = file.read(), file.metadata.metadata
    for rows, what in ((table.slice(3), "missing"), (pa.concat_tables([table.slice(0, 3), table.slice(3)]), None)):
        with pq.ParquetWriter(path, table.schema) as writer:
            writer.write_table(rows)
            writer.add_key_value_metadata({b"zoo_counts": facts[b"zoo_counts"]})
        if what is None:
            merge([folder], tmp_path / "f.csv", Silent())
        else:
            with pytest.raises(TableError, match=f"of the list is {what}"):
                merge([folder], tmp_path / "f.csv", Silent())


def test_a_killed_shard_goes_on_and_a_finished_one_is_known_on_every_machine(films, tmp_path, monkeypatch):
    out, whole = tmp_path / "f.csv", tmp_path / "whole.csv"
    standin.write(films, whole)

    class Killed(Exception):
        pass

    def append(self, piece, items, *rest, append=resume.Journal.append):
        append(self, piece, items, *rest)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(resume.Journal, "append", append)
        with pytest.raises(Killed):
            standin.write(films, out, shard=Shard(0, 2))
    (films / "patient0" / "more.png").write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"a stopped run of another job waits .*list was .* of 18 images, is"):
        standin.write(films, out, shard=Shard(0, 2))
    (films / "patient0" / "more.png").unlink()
    model = standin.predictor()
    counts = [standin.write(films, out, model, shard=Shard(i, 2)) for i in range(2)]
    part = tmp_path / "f.csv.parts" / "00000-of-00002.parquet"
    assert sum(model.runtime.calls) == 17 - 3  # of the four images of the first batch one is unreadable
    merge([part.parent], out, Silent())
    assert out.read_bytes() == whole.read_bytes()
    monkeypatch.setenv("ZOO_HOME", str(tmp_path / "another machine"))
    before, calls = part.read_bytes(), len(model.runtime.calls)
    assert standin.write(films, out, model, shard=Shard(0, 2)) == counts[0]
    assert (part.read_bytes(), len(model.runtime.calls)) == (before, calls)
    with pytest.raises(CheckpointError, match=r"exists and is of another job .*batch size was 4, is 5"):
        standin.write(films, out, model, shard=Shard(0, 2), batch_size=5)


def test_the_commands(films, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("zoo.inference.load.load", lambda *name, **how: standin.predictor())
    whole, out = tmp_path / "whole.csv", tmp_path / "f.csv"
    command = ["predict", str(films), "--model", "stand-in", "--batch-size", "4", "--out"]
    assert main([*command, str(whole)]) == 0
    for i in range(2):
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", str(i + 1))
        monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
        assert main([*command, str(out), "--shard", "auto/2"]) == 0
        assert f"Images in {tmp_path}/f.csv.parts/0000{i}-of-00002.parquet: " in capsys.readouterr().out
    assert main(["merge", f"{out}.parts", "--out", str(out)]) == 0
    assert "f.csv: 18 images in 54 rows, of 2 parts\nUnreadable: 1;" in capsys.readouterr().out
    assert out.read_bytes() == whole.read_bytes()
    assert main(["merge", f"{out}.parts", "--out", str(out)]) == 1
    assert "--replace replaces it" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, str(out), "--shard", "2/2"])
    assert "there is no shard 2 of 2: give I/N" in capsys.readouterr().err


def test_more_parts_than_a_process_may_have_files_open(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource", reason="a limit of Linux and macOS")
    table, folder, count = pd.DataFrame({"image": ["a"], "probability": [0.5]}), tmp_path / "parts", 24
    folder.mkdir()
    for i in range(count):
        kind = parts.PartFormat(parts.PartFacts(i, count, count, 1, {}))
        (tmp_path / "rows").write_bytes(kind.piece(parts.placed(table.copy(), np.array([i])), first=True))
        kind.whole(tmp_path / "rows").replace(folder / f"part-{i}.parquet")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = max(int(path.name) for path in Path("/dev/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 10, before[1]))
    try:
        assert merge([folder], tmp_path / "whole.csv", Silent()).rows == count
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (16, 32))
    with pytest.raises(UsageError, match=r"24 parts are read at once, .* lets a process open 32 files: raise"):
        merge([folder], tmp_path / "whole.csv", Silent())
