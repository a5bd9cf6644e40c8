"""Signals end a command by one line and a status of its own, and one that is ignored stays ignored."""

import argparse
import signal
from types import SimpleNamespace

import pytest

from zoo import cli


@pytest.fixture
def run(monkeypatch):
    """Runs a function as a command; returns its status."""

    def run(function):
        options = argparse.Namespace(command="predict", backend=None, debug=False, run_command=function)
        monkeypatch.setattr(cli, "parser", lambda: SimpleNamespace(parse_args=lambda _: options))
        monkeypatch.setattr(cli.completion, "answer", lambda _: None)
        return cli.main([])

    return run


@pytest.mark.parametrize(("number", "who"), [(15, "SIGTERM"), (1, "SIGHUP"), (2, "you")])
def test_a_signal_is_told_in_one_line_and_what_was_begun_is_left(run, capsys, number, who):
    left, before = [], signal.getsignal(number)

    def command(_):
        try:
            signal.raise_signal(number)
        finally:
            left.append(True)

    assert run(command) == 128 + number
    assert capsys.readouterr().err == f"zoo predict: stopped by {who}; the same command goes on from what is kept\n"
    assert left == [True]
    assert signal.getsignal(number) == before


def test_nohup_keeps_a_command_running(run, monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(lambda _: signal.raise_signal(signal.SIGHUP)) == 0
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
