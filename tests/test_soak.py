"""The frame of `make soak`: every way to fail has its verdict, a dead worker is replaced, and totals add up."""

from dataclasses import asdict

import pytest
from soak import page
from soak.__main__ import main
from soak.journal import Entry, append, read
from soak.totals import KEPT, Totals, soaked
from soak.trials import rng_of


def test_each_way_to_fail_has_its_verdict(tmp_path, capsys):
    options = ["soak_example", "--to", "11", "--journals", str(tmp_path / "journals"), "--results", str(tmp_path)]
    assert main(options) == 1
    last = {entry.trial: entry for entry in read(tmp_path / "journals" / "soak_example.jsonl")[0]}
    verdicts = [last[number].verdict for number in range(11)]
    assert verdicts == [
        "passed", "wrong", "lost", "executed", "executed", "died", "hung", "memory", "crashed", "executed", "passed",
    ]  # fmt: skip
    assert last[0].what == str(rng_of("soak_example", 0).integers(1000))
    assert "os.system" in last[3].what
    assert "outside" in last[4].what
    assert "Segmentation fault" in last[5].what
    assert "in trial" in last[6].what
    assert "again: cd tests && python -m soak soak_example --trial 8" in capsys.readouterr().out


FACTS = {
    "date": "2026-01-02", "commit": "abc", "aim": 10_000,
    "environment": {"processor": "P", "system": "S", "cores": 2, "memory": "8 GiB", "Python": "3", "packages": {}},
}  # fmt: skip


@pytest.fixture
def journals(tmp_path):
    folder = tmp_path / "journals"
    append(folder / "images.jsonl", {"call": FACTS})
    for number, verdict in enumerate(("passed", "passed", "wrong", "hung")):
        append(folder / "images.jsonl", asdict(Entry(number, verdict, "png: refused", 0.1 * number, number)))
    return folder


def test_a_line_that_was_cut_off_is_passed_over(journals):
    with (journals / "images.jsonl").open("a") as file:
        file.write('{"trial": 4, "verd')
    append(journals / "images.jsonl", asdict(Entry(2, "passed", "b")))
    assert [entry.trial for entry in read(journals / "images.jsonl")[0]] == [0, 1, 2, 3, 2]


def test_totals_go_on_on_another_machine_without_the_journals(journals, tmp_path):
    file = tmp_path / "totals.json"
    soaked(file, journals).write(file)
    again = soaked(file, journals)
    assert again == soaked(file, tmp_path / "none")  # what is in the file already is counted once
    images = again.kinds["images"]
    assert (images.trials, images.passed, images.units, list(images.failed)) == (4, 2, 2, [2, 3])
    append(tmp_path / "elsewhere" / "images.jsonl", asdict(Entry(2, "passed", "b", 9.0, 9)))
    append(tmp_path / "elsewhere" / "images.jsonl", asdict(Entry(4, "passed", "b", units=5)))
    append(tmp_path / "elsewhere" / "images.jsonl", asdict(Entry(6, "passed", "of a later total")))
    soaked(file, tmp_path / "elsewhere").write(file)
    images = soaked(file, tmp_path / "elsewhere").kinds["images"]
    assert (images.trials, images.passed, images.units, images.mended, list(images.failed)) == (5, 4, 8, 1, [3])
    assert (images.slowest, images.mb, images.outcomes) == (9.0, 9, {"png: refused": 2, "b": 2})
    assert soaked(file, tmp_path / "none").commits == ["abc"]


def test_of_many_outcomes_the_rarest_are_kept_as_a_count(tmp_path):
    totals = Totals()
    for number in range(KEPT + 12):
        totals.note(Entry(number, "passed", f"outcome {max(0, number - 9)}"))
    kept = Totals.from_json(totals.as_json())
    assert (len(kept.outcomes), kept.outcomes["outcome 0"], kept.others, kept.passed) == (KEPT, 10, 3, KEPT + 12)


def test_the_page_holds_the_totals(journals, tmp_path):
    so_far = soaked(tmp_path / "totals.json", journals)
    page.write(tmp_path / "results.md", so_far)
    text = (tmp_path / "results.md").read_text()
    assert "| damaged images | 2 | 10000 | 0 | 1 | 0 | 1 | 0.1 | 1 | 0 |" in text
    assert "- 2 x png: refused" in text
    assert "- FAILED 2: wrong: png: refused" in text
    assert page.lines(so_far).startswith("images: 2 tried; lost 0, wrong 1, executed 0, crashed, died, hung")
