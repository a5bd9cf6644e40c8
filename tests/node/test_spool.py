"""The spool: what is on the disk decides what happens, whatever killed the process before."""

import os
import time

import pytest

from zoo.core.errors import StateError
from zoo.node.spool import Job, Spool, SpoolFullError, Taken

pytestmark = pytest.mark.tensorflow_only  # nothing here depends on the backend


@pytest.fixture
def spool(tmp_path):
    with Spool(tmp_path / "spool", 1000, 4, "model").opened() as opened:
        yield opened


def again(spool, model="model"):
    """The spool as the next process opens it."""
    return Spool(spool.folder.parent / "spool", 1000, 4, model)


def test_an_object_is_taken_once(spool):
    assert spool.take("1.1", "1.1.1", b"a") is Taken.NEW
    assert spool.take("1.1", "1.1.1", b"a") is Taken.HERE
    (job,) = spool.complete(0)
    assert spool.take("1.1", "1.1.1", b"a") is Taken.HERE
    spool.finish(job)
    assert spool.take("1.1", "1.1.1", b"a") is Taken.DONE
    assert spool.take("1.1", "1.1.2", b"b") is Taken.NEW
    assert spool.counts() == {"receiving": 1, "waiting": 0, "done": 1, "aside": 0}


def test_another_model_takes_it_again(spool):
    spool.take("1.1", "1.1.1", b"a")
    spool.finish(*spool.complete(0))
    spool.model = "another"
    assert spool.take("1.1", "1.1.1", b"a") is Taken.NEW


def test_a_study_is_complete_after_the_quiet_time_even_over_a_restart(spool):
    spool.take("1.1", "1.1.1", b"a")
    spool.take("2.2", "2.2.2", b"b")
    spool._since -= 3600
    assert spool.complete(60) == []
    (old,) = (p for p in spool.receiving.glob("*/*.dcm") if p.read_bytes() == b"a")
    os.utime(old, (time.time() - 61,) * 2)
    assert [job.images()[0].read_bytes() for job in spool.complete(60)] == [b"a"]
    (young,) = spool.receiving.glob("*/*.dcm")
    os.utime(young, (time.time() + 3600,) * 2)  # the clock was set back
    assert len(spool.complete(60)) == 2


def test_the_time_between_two_processes_is_not_quiet(spool):
    spool.take("1.1", "1.1.1", b"a")
    (file,) = spool.receiving.glob("*/*.dcm")
    os.utime(file, (time.time() - 61,) * 2)
    assert spool.complete(60) == []  # the process has just begun: the sender could not send the next image before
    spool._since -= 60
    assert len(spool.complete(60)) == 1


def test_images_that_come_late_are_a_second_round(spool):
    spool.take("1.1", "1.1.1", b"a")
    spool.complete(0)
    spool.take("1.1", "1.1.2", b"b")
    jobs = spool.complete(0)
    assert [job.images()[0].read_bytes() for job in jobs] == [b"a", b"b"]
    assert len({job.key for job in jobs}) == 1


@pytest.mark.parametrize("size", [250, 999])
def test_it_refuses_what_does_not_fit(spool, size):
    room = min(4, 1000 // size)
    for i in range(room):
        spool.take("1.1", f"1.1.{i}", b"a" * size)
    with pytest.raises(SpoolFullError):
        spool.take("1.1", "1.1.9", b"a" * size)
    assert len(list(spool.receiving.glob("*/*.dcm"))) == room
    spool.finish(*spool.complete(0))
    assert spool.take("3", "3.1", b"a" * size) is Taken.NEW  # there is room again


def test_names_show_no_identifier_and_differ_between_spools(spool, tmp_path):
    spool.take("1.2.826.0.1", "1.2.826.0.1.5", b"a")
    names = " ".join(map(str, spool.folder.rglob("*")))
    assert "1.2.826" not in names
    with Spool(tmp_path / "other").opened() as other:
        other.take("1.2.826.0.1", "1.2.826.0.1.5", b"a")
        assert {p.name for p in other.receiving.iterdir()} != {p.name for p in spool.receiving.iterdir()}
    assert spool.folder.stat().st_mode & 0o077 == 0
    assert (spool.folder / "secret").stat().st_mode & 0o077 == 0


def test_two_processes_do_not_share_a_spool(spool):
    with pytest.raises(StateError, match="another zoo node uses this spool"), again(spool).opened():
        pass


def test_what_was_begun_is_finished_by_the_next_process(tmp_path):
    first = Spool(tmp_path / "spool", model="model")
    with first.opened():
        first.take("1.1", "1.1.1", b"a")
        (job,) = first.complete(0)
        (job.folder / ".results-01234567.part").mkdir()  # killed while results were written
        (first._removing / "left").mkdir()  # killed while a study was deleted
    with Spool(tmp_path / "spool", model="model").opened() as second:
        assert [path.name for path in job.folder.iterdir()] == [job.images()[0].name]
        assert list(second._removing.iterdir()) == []
        assert second.complete(60) == [job]
        assert second.take("1.1", "1.1.1", b"a") is Taken.HERE


def test_what_is_aside_has_a_reason_and_is_bounded(spool, monkeypatch):
    monkeypatch.setattr("zoo.node.spool._ASIDE", 2)
    for i in range(3):
        spool.take("1.1", f"1.1.{i}", b"abc"[i : i + 1])
        (job,) = spool.complete(0)
        spool.drop(job, f"reason {i}")
        time.sleep(0.01)
    assert sorted(p.read_bytes() for p in spool.aside.glob("*.dcm")) == [b"b", b"c"]
    assert sorted(p.read_text() for p in spool.aside.glob("*.txt")) == ["reason 1\n", "reason 2\n"]
    assert spool.knows("1.1", "1.1.2")
    assert spool.counts() == {"receiving": 0, "waiting": 0, "done": 0, "aside": 2}


def test_studies_that_end_the_process_come_last(spool):
    spool.take("1.1", "1.1.1", b"a")
    (bad,) = spool.complete(0)
    bad.count("attempts")
    spool.take("2.2", "2.2.1", b"b")
    assert [job.images()[0].read_bytes() for job in spool.complete(0)] == [b"b", b"a"]
    assert Job(bad.folder).count("attempts", 0) == 1


@pytest.mark.parametrize("torn", [b"", bytes(40), b'{"a": "mod', b"\xff{}", b"[1]"])
def test_a_record_that_was_cut_off_costs_one_more_sending_and_no_end_of_the_node(spool, torn):
    spool.take("1.1", "1.1.1", b"a")
    (job,) = spool.complete(0)
    job.count("attempts")
    (job.folder / "attempts").write_bytes(torn)
    assert job.count("attempts") == 1
    job.results.mkdir()
    (job.results / "unread.json").write_bytes(torn)
    assert job.reasons() == {}
    spool.finish(job)
    (done,) = spool.done.iterdir()
    done.write_bytes(torn)
    assert spool.take("1.1", "1.1.1", b"a") is Taken.NEW
    spool.finish(*spool.complete(0))
    assert spool.take("1.1", "1.1.1", b"a") is Taken.DONE
