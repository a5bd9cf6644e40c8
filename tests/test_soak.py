"""The frame of `make soak`: every way to fail has its verdict, a dead worker is replaced, and the journal adds up."""

import json

import pytest
from soak import page
from soak.__main__ import main
from soak.journal import Entry, Journal
from soak.trials import rng_of


def test_each_way_to_fail_has_its_verdict(tmp_path, capsys):
    options = ["soak_example", "--to", "11", "--journals", str(tmp_path), "--results", str(tmp_path / "results.md")]
    assert main(options) == 1
    journal = Journal(tmp_path / "soak_example.jsonl")
    verdicts = [journal.last[number].verdict for number in range(11)]
    assert verdicts == [
        "passed", "wrong", "lost", "executed", "executed", "died", "hung", "memory", "crashed", "executed", "passed",
    ]  # fmt: skip
    assert journal.last[0].what == str(rng_of("soak_example", 0).integers(1000))
    assert "os.system" in journal.last[3].what
    assert "outside" in journal.last[4].what
    assert "Segmentation fault" in journal.last[5].what
    assert "in trial" in journal.last[6].what
    assert "again: cd tests && python -m soak soak_example --trial 8" in capsys.readouterr().out


def test_a_journal_adds_up_past_a_line_that_was_cut_off(tmp_path):
    path = tmp_path / "images.jsonl"
    journal = Journal(path)
    journal.add(Entry(0, "passed", "a"))
    journal.add(Entry(1, "wrong", "b"))
    with path.open("a") as file:
        file.write('{"trial": 2, "verd')
    again = Journal(path)
    assert (again.following, [entry.trial for entry in again.failed], again.mended) == (2, [1], 0)
    again.add(Entry(1, "passed", "b"))
    last = Journal(path)
    assert (last.following, last.failed, last.mended, dict(last.counts)) == (2, [], 1, {"passed": 2})


@pytest.fixture
def journals(tmp_path):
    facts = {
        "date": "2026-01-02", "commit": "abc", "aim": 10_000,
        "environment": {"processor": "P", "system": "S", "cores": 2, "memory": "8 GiB", "Python": "3", "packages": {}},
    }  # fmt: skip
    journal = Journal(tmp_path / "images.jsonl")
    journal.begin(facts)
    for number, verdict in enumerate(("passed", "passed", "wrong", "hung")):
        journal.add(Entry(number, verdict, "png: refused", 0.1 * number, number))
    return tmp_path


def test_the_page_holds_the_totals(journals):
    page.write(journals / "results.md", journals)
    text = (journals / "results.md").read_text()
    assert "| damaged images | 4 | 10000 | 0 | 1 | 0 | 1 | 0.3 | 3 | 0 |" in text
    assert "- 2 x png: refused" in text
    assert "- FAILED 2: wrong: png: refused" in text
    assert page.totals(journals).startswith("images: 4 tried; lost 0, wrong 1, executed 0, crashed, died, hung")


def test_lines_are_json(journals):
    assert all(json.loads(line) for line in (journals / "images.jsonl").read_text().splitlines())
