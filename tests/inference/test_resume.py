"""A file in the making: it goes on from any state that a kill or a power cut can leave."""

import itertools
import random
import zlib
from collections import Counter
from contextlib import suppress

import pytest

from zoo.core.errors import CheckpointError
from zoo.data.contents import Content
from zoo.inference.resume import folder_of, open_journal

PIECES = [b"header\n1\n", b"22\n", b"", b"4444\n55555\n", b"6\n"]
JOB = {"model": "a1b2", "films": 5}


class Stop(Exception): ...


def write(out, job=JOB, stop_after=None, **options):
    """The pieces that are left, one item each; returns how many were done before."""
    with open_journal(out, job, **options) as log:
        done = log.done.items
        assert log.done.failed == PIECES[:done].count(b"")
        for piece in PIECES[done:stop_after]:
            log.append(piece, 1, failed=int(piece == b""))
        if stop_after is not None:
            raise Stop
    return done


def stopped(out, after=3, **options):
    with pytest.raises(Stop):
        write(out, stop_after=after, **options)
    return folder_of(out)


def test_the_file_appears_when_it_is_whole_and_nothing_else_is_left(tmp_path):
    out = tmp_path / "new" / "rows.csv"
    assert write(out) == 0
    assert out.read_bytes() == b"".join(PIECES)
    assert [p.name for p in out.parent.iterdir()] == ["rows.csv"]


def test_it_goes_on_where_it_was_stopped(tmp_path):
    out = tmp_path / "rows.csv"
    folder = stopped(out)
    assert not out.exists()
    assert (folder / "rows").read_bytes() == b"".join(PIECES[:3])
    assert write(out) == 3
    assert out.read_bytes() == b"".join(PIECES)


def test_every_state_that_an_end_can_leave_is_gone_on_from(tmp_path):
    """Bytes get to the disk in any order when the power fails: each beginning of one file with each of the other."""
    folder = stopped(tmp_path / "rows.csv", after=5)
    rows, record = (folder / "rows").read_bytes(), (folder / "record.jsonl").read_bytes()
    ends = list(itertools.accumulate(len(line) for line in record.splitlines(keepends=True)))
    sizes = list(itertools.accumulate(map(len, PIECES), initial=0))
    cuts = ({0, *whole, *(end - 1 for end in whole)} - {-1} for whole in (sizes, ends))
    for i, (size, length) in enumerate(itertools.product(*map(sorted, cuts))):
        out = tmp_path / f"state{i}.csv"
        folder_of(out).mkdir()
        (folder_of(out) / "rows").write_bytes(rows[:size])
        (folder_of(out) / "record.jsonl").write_bytes(record[:length])
        marked = sum(end <= length for end in ends) - 1
        assert write(out) == max([0, *(k for k in range(marked + 1) if sizes[k] <= size)])
        assert out.read_bytes() == b"".join(PIECES)


def test_bytes_that_are_not_those_written_are_written_again(tmp_path):
    out = tmp_path / "rows.csv"
    folder = stopped(out, after=5)
    damaged = bytearray((folder / "rows").read_bytes())
    damaged[len(PIECES[0])] ^= 1
    (folder / "rows").write_bytes(damaged)
    assert write(out) == 1
    assert out.read_bytes() == b"".join(PIECES)


def mutations(record, rng):
    """One change to a record: bytes, lines, or JSON that is odd but whole, with its CRC made right or not."""
    odd = [
        b"[" * 100_000, b'{"a":' * 50_000, b"{}", b"[]", b"null", b"NaN", b'"x"', b"1" * 5000, b"\xff\xfe", b"\x00",
        b'{"items": 1}', b'{"items": 1, "failed": 0, "size": 9, "crc": 0, "files": [], "more": 1}',
        b'{"items": 2.0, "failed": 0, "size": 9, "crc": 0, "files": []}',
        b'{"items": -1, "failed": 0, "size": 9, "crc": 0, "files": []}',
        b'{"items": true, "failed": 0, "size": 9, "crc": 0, "files": [[1]]}',
        b'{"items": 1, "failed": 0, "size": 1e400, "crc": 0, "files": {}}',
        b'{"items": 9, "failed": 0, "size": 999999999999999999999, "crc": 0, "files": []}',
        b'{"model": [[[[[[]]]]]], "films": {"a": NaN}}', b'{"__class__": "Mark"}',
    ]  # fmt: skip
    lines = record.splitlines(keepends=True)
    kind, i = rng.randrange(6), rng.randrange(len(lines))
    if kind == 0:
        data = bytearray(record)
        data[rng.randrange(len(data))] = rng.randrange(256)
        return bytes(data)
    if kind == 1:
        return record[: rng.randrange(len(record))] + rng.choice(odd) + record[rng.randrange(len(record)) :]
    if kind == 2:
        rng.shuffle(lines)
    elif kind == 3:
        lines.insert(i, lines[rng.randrange(len(lines))])
    elif kind == 4:
        text = rng.choice(odd)
        lines[i] = f"{zlib.crc32(text, int(lines[i - 1][:8], 16) if i else 0):08x} ".encode() + text + b"\n"
    else:
        del lines[i]
    return b"".join(lines)


def test_any_record_is_resumed_rightly_or_refused_in_one_line(tmp_path):
    rng = random.Random(0)
    folder = stopped(tmp_path / "rows.csv", after=4)
    rows, record = (folder / "rows").read_bytes(), (folder / "record.jsonl").read_bytes()
    results = Counter()
    for i in range(500):
        out = tmp_path / f"{i}.csv"
        folder_of(out).mkdir()
        (folder_of(out) / "rows").write_bytes(rows)
        (folder_of(out) / "record.jsonl").write_bytes(mutations(record, rng))
        said = ""
        try:
            results[write(out)] += 1
        except CheckpointError as error:
            said = str(error)
        if said:
            results["refused"] += 1
            assert "--replace" in said
            assert "\n" not in said
            assert len(said) < 1000
            assert write(out, restart=True) == 0
        assert out.read_bytes() == b"".join(PIECES)
    assert set(results) == {"refused", 0, 1, 2, 3, 4}, results


def test_folders_in_the_place_of_files_are_refused_until_restart(tmp_path):
    for name in ("rows", "record.jsonl"):
        out = tmp_path / f"{name}.csv"
        folder = stopped(out)
        (folder / name).unlink()
        (folder / name).mkdir()
        with pytest.raises(CheckpointError, match="not what a stopped run leaves behind; --replace"):
            write(out)
        assert write(out, restart=True) == 0


def test_the_files_behind_the_items_are_kept(tmp_path):
    files = [("/d/\udcff.png", Content(3, 10**19, "ab")), ("b", Content(-1, 0, ""))]
    out = tmp_path / "rows.csv"
    with suppress(Stop), open_journal(out, JOB) as log:
        log.append(b"1\n2\n", 2, 1, files)
        raise Stop
    with open_journal(out, JOB) as log:
        assert log.files == files


def test_rows_or_record_alone_begin_again(tmp_path):
    for name in ("rows", "record.jsonl"):
        out = tmp_path / f"{name}.csv"
        (stopped(out) / name).unlink()
        assert write(out) == 0
        assert out.read_bytes() == b"".join(PIECES)


def test_another_job_is_refused_with_what_differs_until_restart(tmp_path):
    out = tmp_path / "rows.csv"
    stopped(out)
    with pytest.raises(CheckpointError, match=r"model was a1b2, is ffff\).*--replace") as caught:
        write(out, JOB | {"model": "ffff"})
    assert "films" not in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(CheckpointError, match="point was None, is max_f1"):
        write(out, JOB | {"point": "max_f1"})
    assert write(out, JOB | {"model": "ffff"}, restart=True) == 0
    assert out.read_bytes() == b"".join(PIECES)


def test_two_at_once_are_refused(tmp_path):
    out = tmp_path / "rows.csv"
    with open_journal(out, JOB) as log:
        log.append(PIECES[0], 1)
        with pytest.raises(CheckpointError, match=r"rows\.csv: another process"):
            write(out)
    assert out.read_bytes() == PIECES[0]


def test_an_error_before_anything_was_done_leaves_nothing(tmp_path):
    stopped(tmp_path / "rows.csv", after=0)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path):
    out = tmp_path / "rows.csv"
    out.write_text("old")
    stopped(out)
    assert out.read_text() == "old"
    write(out)
    assert out.read_bytes() == b"".join(PIECES)


def test_what_is_made_of_the_file_takes_its_place(tmp_path):
    out = tmp_path / "rows.txt"

    def upper(rows):
        made = rows.with_name("made")
        made.write_bytes(rows.read_bytes().upper())
        return made

    write(out, whole=upper)
    assert out.read_bytes() == b"".join(PIECES).upper()
    assert [p.name for p in tmp_path.iterdir()] == ["rows.txt"]
