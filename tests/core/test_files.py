"""Files and folders appear whole or not at all, whoever is killed, and nothing stays behind."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from zoo.core import exchange, files

KILLED = Path(__file__).with_name("killed_exchange.py")


@pytest.fixture(params=["one_step", "two_renames"])
def way(request, monkeypatch):
    if request.param == "two_renames":
        monkeypatch.setattr(exchange, "_exchange", lambda one, other: False)
    return request.param


def write(target, text, name="a.txt"):
    with files.whole_folder(target) as new:
        (new / name).write_text(text)


def stopped(writing):
    """Writes half into what `writing` gives, and raises."""
    with writing as new:
        (new / "a.txt" if new.is_dir() else new).write_text("half")
        raise ZeroDivisionError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["one_step", "two_renames"])
def test_a_kill_at_any_step_leaves_the_old_or_the_new_folder_and_nothing_else(tmp_path, kind):
    done = subprocess.run([sys.executable, KILLED, tmp_path, kind], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 30


def test_this_system_exchanges_in_one_step(tmp_path):
    for name in "xy":
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{name}.txt").touch()
    if not exchange._exchange(tmp_path / "x", tmp_path / "y"):
        pytest.skip("no renameat2 here")
    assert (tmp_path / "x" / "y.txt").is_file()
    assert (tmp_path / "y" / "x.txt").is_file()
    with pytest.raises(FileNotFoundError, match="none"):
        exchange._exchange(tmp_path / "x", tmp_path / "none")


@pytest.mark.parametrize("error", [errno.ENOSYS, errno.EINVAL])
def test_a_file_system_that_cannot_exchange_is_no_error(tmp_path, monkeypatch, error):
    import ctypes

    class Library:
        @staticmethod
        def renameat2(*arguments):
            ctypes.set_errno(error)
            return -1

    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library)
    write(tmp_path / "m", "1")
    write(tmp_path / "m", "2")
    assert (tmp_path / "m" / "a.txt").read_text() == "2"
    assert names(tmp_path) == ["m"]


def test_a_folder_is_replaced_with_all_that_was_in_it(tmp_path, way):
    write(tmp_path / "m", "1", "old.txt")
    write(tmp_path / "m", "2", "new.txt")
    assert names(tmp_path / "m") == ["new.txt"]
    assert names(tmp_path) == ["m"]


def test_files_are_written_whole_inside_a_folder_and_a_file_that_are_written_whole(tmp_path, way):
    for text in ("1", "2"):
        with files.whole_folder(tmp_path / "m") as new:
            files.write_text(new / "a.txt", text)
            with files.whole_folder(new / "inner") as inner:
                files.write_text(inner / "b.txt", text)
            assert names(new) == ["a.txt", "inner"]
    assert (tmp_path / "m" / "inner" / "b.txt").read_text() == "2"
    with files.whole_file(tmp_path / "f.txt") as aside:
        files.write_text(aside, "3")
    assert (tmp_path / "f.txt").read_text() == "3"
    assert names(tmp_path) == ["f.txt", "m"]


def test_a_folder_that_the_block_deletes_replaces_nothing(tmp_path):
    write(tmp_path / "m", "1")
    with files.whole_folder(tmp_path / "m") as new:
        shutil.rmtree(new)
    assert (tmp_path / "m" / "a.txt").read_text() == "1"
    assert names(tmp_path) == ["m"]


@pytest.mark.parametrize("whole", [files.recover, lambda target: files.recover_inside(target.parent)])
def test_an_exchange_that_stopped_between_its_renames_is_finished(tmp_path, whole):
    for state, text in (("old", "1"), ("ready", "2")):
        (tmp_path / ".m-0123abcd.part" / state).mkdir(parents=True)
        (tmp_path / ".m-0123abcd.part" / state / "a.txt").write_text(text)
    whole(tmp_path / "m")
    assert (tmp_path / "m" / "a.txt").read_text() == "2"
    assert names(tmp_path) == ["m"]


def test_an_error_while_writing_leaves_the_old_folder(tmp_path, way):
    write(tmp_path / "m", "1")
    with pytest.raises(ZeroDivisionError):
        stopped(files.whole_folder(tmp_path / "m"))
    assert (tmp_path / "m" / "a.txt").read_text() == "1"
    assert names(tmp_path) == ["m"]


def test_what_a_living_writer_holds_is_left_alone(tmp_path, way):
    with files.whole_folder(tmp_path / "m") as slow:
        (slow / "a.txt").write_text("slow")
        thread = threading.Thread(target=write, args=(tmp_path / "m", "quick"))
        thread.start()
        thread.join()
        files.recover(tmp_path / "m")
        assert (tmp_path / "m" / "a.txt").read_text() == "quick"
        assert (slow / "a.txt").read_text() == "slow"
    assert (tmp_path / "m" / "a.txt").read_text() == "slow"
    assert names(tmp_path) == ["m"]


def test_a_folder_that_another_program_locks_is_no_reason_to_wait_for_ever(tmp_path, way, monkeypatch):
    fcntl = pytest.importorskip("fcntl", reason="there are no such locks on this system")
    monkeypatch.setattr(exchange, "WAIT_SECONDS", 0.1)
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    try:
        write(tmp_path / "m", "1")
        write(tmp_path / "m", "2")
    finally:
        os.close(handle)
    assert (tmp_path / "m" / "a.txt").read_text() == "2"
    assert names(tmp_path) == ["m"]


def test_what_only_looks_like_a_leftover_is_left_alone(tmp_path):
    kept = [".m-20240101", ".m-2-0123abcd.part", "m-0123abcd.part", ".m-0123abcd.part.txt", ".n-0123abcd.part"]
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / ".m-0123abcd.part").mkdir()
    write(tmp_path / "m", "1")
    files.recover(tmp_path / "m")
    assert names(tmp_path) == sorted([*kept, "m"])


def test_a_deleted_folder_does_not_come_back(tmp_path):
    # Killed when only the older one was left to delete; then somebody deleted the new one.
    for left in (".m-0123abcd.part/old", ".m-4567abcd.part/ready"):
        (tmp_path / left).mkdir(parents=True)
    files.recover(tmp_path / "m")
    assert names(tmp_path) == []


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path, way):
    write(tmp_path / "disk" / "m", "1")
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "m")
    write(tmp_path / "link", "2")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "m" / "a.txt").read_text() == "2"
    assert names(tmp_path / "disk") == ["m"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "m").write_text("mine")
    with pytest.raises(NotADirectoryError, match="m"):
        write(tmp_path / "m", "1")
    assert (tmp_path / "m").read_text() == "mine"
    assert names(tmp_path) == ["m"]


def test_a_folder_in_the_folder_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("m", "1")
    write("m", "2")
    assert Path("m/a.txt").read_text() == "2"


def test_permissions_are_those_of_any_new_file(tmp_path):
    with files.whole_folder(tmp_path / "m") as new:
        (new / "private.txt").touch(0o600)
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual.txt").touch()
    assert (tmp_path / "m").stat().st_mode == (tmp_path / "usual").stat().st_mode
    assert (tmp_path / "m" / "private.txt").stat().st_mode == (tmp_path / "usual.txt").stat().st_mode


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "f.csv"
    files.write_text(path, "a\r\nä\n")
    assert path.read_bytes() == "a\r\nä\n".encode()
    with pytest.raises(ZeroDivisionError):
        stopped(files.whole_file(path))
    assert path.read_bytes() == "a\r\nä\n".encode()
    files.write_bytes(path, b"\0")
    assert path.read_bytes() == b"\0"
    assert names(path.parent) == ["f.csv"]


def test_what_a_killed_writer_of_a_file_left_is_swept_at_the_next_write(tmp_path):
    script = (
        "import os, sys; from zoo.core import files\n"
        "with files.whole_file(sys.argv[1]) as new:\n    new.write_text('half'); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path / "f.txt"], check=False)
    assert len(names(tmp_path)) == 1
    files.write_text(tmp_path / "f.txt", "whole")
    assert names(tmp_path) == ["f.txt"]


def test_json_is_utf8_and_has_no_nan(tmp_path):
    files.write_json(tmp_path / "f.json", {"ä": [1.5]})
    assert "ä" in (tmp_path / "f.json").read_text("utf-8")
    assert json.loads((tmp_path / "f.json").read_text("utf-8")) == {"ä": [1.5]}
    with pytest.raises(ValueError, match="JSON"):
        files.write_json(tmp_path / "f.json", float("nan"))


def test_a_content_key_tells_contents_apart_and_not_their_order():
    assert files.content_key({"a": 1, "b": (2,)}) == files.content_key({"b": [2], "a": 1})
    assert files.content_key(["a", "b"]) != files.content_key(["a,b"])
    assert len(files.content_key(1)) == 32
    assert len(files.content_key(1, 16)) == 16
