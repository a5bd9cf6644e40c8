"""The benchmarks' harness, on benchmarks of its own that take no time; the real ones run by `make bench` alone."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import demo, machine, run, scale, tables
from builders import tiny_spec
from finished_run import finished_run

pytest.importorskip("pytest_benchmark", reason="the harness is built on pytest-benchmark")

FAKE = '''
import os, time
import pytest

BACKENDS = ("tensorflow", "jax")

def equal(result):
    """The sum equals 3."""
    assert result == 3

def test_ours(compare, describe):
    describe("Sums", "Of two numbers.")
    assert compare("Sums", "zoo", lambda: 3, items=100, unit="sums/s", rounds=3, check=equal) == 3

def test_rival(compare):
    slow = lambda: time.sleep(0.02) or 3
    compare("Sums", "by hand", slow, items=100, unit="sums/s", peer=True, rounds=2, check=equal)

def test_wrong(compare):
    compare("Sums", "wrong", lambda: 4, items=100, unit="sums/s", check=equal)

def test_absent(compare):
    pytest.importorskip("no_such_package", reason="no_such_package is not installed")

@pytest.mark.tensorflow_only
def test_figures(record):
    record("Scores", {"finding": "Edema", "AUC": 0.91234, "n": 12345, "threads": os.environ["TF_NUM_INTRAOP_THREADS"]})
'''


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A folder of one benchmark that ran on two backends, and the status."""
    folder = tmp_path_factory.mktemp("benches")
    shutil.copy(Path(run.__file__).parent / "conftest.py", folder)
    (folder / "bench_fake.py").write_text(FAKE)
    status = run.main(["--benches", str(folder), "--kept", str(folder / "kept")])
    return folder, status


def test_a_run_ends_in_one_page(measured: tuple[Path, int]) -> None:
    text = (measured[0] / "results.md").read_text()
    ours = next(line for line in text.splitlines() if line.startswith("| zoo (jax)"))
    peer = next(line for line in text.splitlines() if line.startswith("| by hand (jax)"))
    name, _, _, rate, ratio, rounds, checked = (cell.strip() for cell in ours.strip("|").split("|"))
    assert (name, rounds, checked) == ("zoo (jax)", "3", "The sum equals 3.")
    assert rate.endswith("sums/s")
    assert float(ratio.replace(",", "")) > 100
    assert "| 1.00 | 2 |" in peer
    assert "## Sums\n\nOf two numbers.\n" in text
    assert text.count("Of two numbers.") == 1


def test_other_figures_have_their_table(measured: tuple[Path, int]) -> None:
    text = (measured[0] / "results.md").read_text()
    head = "| finding | AUC | n | threads |\n| --- | ---: | ---: | --- |"
    assert f"{head}\n| Edema | 0.912 | 12,345 | {machine.available()} |\n" in text


def test_failures_come_first_and_what_is_missing_is_named(measured: tuple[Path, int]) -> None:
    folder, status = measured
    text = (folder / "results.md").read_text()
    assert status == 1
    assert text.index("## Failed") < text.index("## Sums") < text.index("## Left out")
    assert "- bench_fake.py on jax: `test_wrong`: " in text
    assert "- bench_fake.py: `test_absent`: no_such_package is not installed" in text
    assert "| wrong" not in text


def test_the_page_names_the_machine_and_no_host(measured: tuple[Path, int]) -> None:
    text = (measured[0] / "results.md").read_text()
    assert machine.processor() in text
    assert f"{machine.available()} threads for everyone" in text
    assert f"keras {machine.installed('keras')}" in text
    assert socket.gethostname() not in text


def test_a_process_that_died_is_told(measured: tuple[Path, int], tmp_path: Path) -> None:
    folder, kept = measured[0], tmp_path / "kept"
    shutil.copytree(folder / "kept", kept)
    cut = kept / "bench_fake-jax.jsonl"
    cut.write_text("".join(cut.read_text().splitlines(keepends=True)[:2]))
    found = json.loads(cut.read_text().splitlines()[0])["environment"]
    wanted = [(folder / "bench_fake.py", backend) for backend in ("tensorflow", "jax")]
    assert run.write(tmp_path, kept, wanted, found) == 1
    text = (tmp_path / "results.md").read_text()
    assert "- bench_fake.py on jax: the process died after 1 of its tests" in text
    assert "| zoo (tensorflow) |" in text


def test_figures_of_another_machine_are_not_mixed_in(measured: tuple[Path, int], tmp_path: Path) -> None:
    folder, kept = measured[0], tmp_path / "kept"
    shutil.copytree(folder / "kept", kept)
    here = json.loads((kept / "bench_fake-jax.jsonl").read_text().splitlines()[0])["environment"]
    wanted = [(folder / "bench_fake.py", "jax")]
    assert run.write(tmp_path, kept, wanted, here | {"processor": "another"}) == 0
    assert not (tmp_path / "results.md").exists()
    assert "| zoo" not in (kept / "results.md").read_text()


def test_words_choose_files(measured: tuple[Path, int]) -> None:
    with pytest.raises(SystemExit, match="no benchmark has inference in its name: bench_fake"):
        run.main(["inference", "--benches", str(measured[0])])


@pytest.mark.parametrize(
    "value, text", [(12.34, "12.3 s"), (1234.5, "1,234 s"), (0.0567, "56.7 ms"), (3.2e-6, "3.2 µs"), (4e-9, "4 ns")]
)
def test_seconds_are_read_at_a_glance(value: float, text: str) -> None:
    assert tables.seconds(value) == text


def test_simulated_fleets_take_the_time_that_is_plain_without_trouble_and_pieces_help_against_a_slow_one():
    good = scale.Fleet(workers=4, rate=10.0, slow_share=0.0, hours_between_failures=0.0)
    assert scale.simulate(4000, good, None) == (100.0, 0)
    assert scale.simulate(4000, good, 100) == (100.0, 0)
    slow = scale.Fleet(workers=1, rate=10.0, slow_share=1.0, slow_by=4.0, hours_between_failures=0.0)
    assert scale.simulate(1000, slow, None) == (400.0, 0)
    mixed = scale.Fleet(workers=50, rate=10.0, slow_share=0.1, hours_between_failures=0.0)
    fixed, pieces = (scale.simulate(500_000, mixed, piece, seed=1)[0] for piece in (None, 500))
    assert (fixed, 1000 < pieces < 1400) == (4000.0, True)
    failing = scale.Fleet(workers=20, rate=10.0, slow_share=0.0, hours_between_failures=1.0)
    seconds, failures = scale.simulate(1_000_000, failing, 1000, seed=2)
    assert 5000 < seconds < 7000
    assert 15 < failures < 45  # 20 workers for about 1.5 hours


def test_the_page_of_the_demo_holds_each_seeds_figures_and_what_the_first_one_cost():
    result = finished_run(tiny_spec())["result"]
    text = demo.page({42: result, 43: result}, {"seconds": 512.4, "processor": 901.0, "memory": 5.34})
    auc = result.numbers.macro.auc
    cell = f"{auc.value:.3f} [{auc.low:.3f}, {auc.high:.3f}]"
    assert f"| {result.model} | {cell} | {cell} |" in text
    assert "seed 42 took 512 s and 901 s of the processors; 5.3 GB of memory" in text
    assert " took " not in demo.page({42: result}, {"seconds": None, "processor": None, "memory": None})


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory is read on Linux alone")
def test_memory_is_that_of_a_process_and_all_that_it_started():
    script = (
        "import subprocess, sys; p = subprocess.Popen(['sleep', '60']); print(flush=True); sys.stdin.read(); p.kill()"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        pids = list(demo.family(process.pid))
        assert len(pids) == 2
        assert all(demo.memory(pid) > 0 for pid in pids)
        process.communicate(b"")
    assert demo.memory(process.pid) == 0
