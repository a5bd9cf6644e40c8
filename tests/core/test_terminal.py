"""What a person sees of long work, with a terminal and without one."""

import io

from rich.console import Console

from zoo.core import terminal
from zoo.core.terminal import TerminalProgress


def test_a_bar_has_a_rate_and_the_time_that_is_left():
    out = io.StringIO()
    bars = TerminalProgress(Console(file=out, force_terminal=True, width=120))
    with bars as progress, progress.task("decoding", 50) as advance:
        for _ in range(25):
            advance()
        progress._progress.refresh()
    assert "decoding" in out.getvalue()
    assert "25/50" in out.getvalue()
    assert "/s" in out.getvalue()


def test_without_a_terminal_a_long_task_is_a_line_now_and_then(monkeypatch):
    out, now = io.StringIO(), [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    progress = TerminalProgress(Console(file=out, width=120))
    with progress.task("decoding", 10_000) as advance:
        for second in range(1, 91):
            now[0] = float(second)
            for _ in range(20):
                advance()
    assert out.getvalue() == "decoding: 1,181 of 10,000, 19.7/s, 7 min left\n"


def test_what_was_done_before_does_not_count_as_speed(monkeypatch):
    out, now = io.StringIO(), [0.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    progress = TerminalProgress(Console(file=out, width=120))
    with progress.task("scoring films", 100_000, 40_000) as advance:
        for _ in range(5):
            now[0] += 16.0
            advance(800)
    assert out.getvalue() == "scoring films: 43,200 of 100,000, 50.0/s, 19 min left\n"


def test_a_bar_begins_where_an_earlier_run_ended():
    out = io.StringIO()
    bars = TerminalProgress(Console(file=out, force_terminal=True, width=120))
    with bars as progress, progress.task("scoring films", 1000, 200) as advance:
        advance(16)
        progress._progress.refresh()
    assert "216/1000" in out.getvalue()
