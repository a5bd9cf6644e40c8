"""What `zoo --help` shows, and what a shell completes."""

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from zoo.cli import journey, main, parser
from zoo.cli.make import GOES_ON

COMMANDS = {name for names in journey.GROUPS.values() for name in names}


def test_every_command_stands_in_one_group_and_has_an_example():
    choices = parser().commands
    listed = [name for names in journey.GROUPS.values() for name in names]
    assert sorted(listed) == sorted(choices)
    assert set(journey.EXAMPLES) == set(choices)


@pytest.mark.parametrize("line", [line for lines in journey.EXAMPLES.values() for line in lines])
def test_an_example_is_a_command_that_the_parser_takes(line):
    inside = re.fullmatch(r'eval "\$\((.*)\)"', line)
    words = shlex.split(inside[1] if inside else line, comments=True)
    assert words[0] == "zoo"
    assert parser().parse_args(words[1:]).command == words[1]


def test_the_help_has_groups_and_the_statuses_that_commands_return(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert all(title in shown for title in journey.GROUPS)
    assert "More" not in shown.splitlines()
    assert re.search(rf"^  {GOES_ON}  ", shown, re.M)
    assert max(map(len, shown.splitlines())) <= 100


def test_the_help_of_every_command_and_action_ends_with_its_examples():
    for name, sub in parser().commands.items():
        inner = {f"zoo {name} {action}": its for action, its in journey.actions(sub).items()}
        for start, its in {f"zoo {name}": sub, **inner}.items():
            lines = [line for line in journey.EXAMPLES[name] if start in line]
            shown = its.format_help().rstrip().splitlines()
            assert lines, start
            assert shown[-len(lines) - 1 :] == ["Examples:", *(f"  {line}" for line in lines)]


def _completed(line: str) -> list[str]:
    """What the shell is offered behind `line`, by argcomplete's protocol: environment in, file descriptor 8 out."""
    reading, writing = os.pipe()
    variables = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n", "COMP_LINE": line, "COMP_POINT": str(len(line))}
    code = f"import os; os.dup2({writing}, 8); import sys; sys.argv[0] = 'zoo'; from zoo.cli import main; main([])"
    subprocess.run(
        [sys.executable, "-c", code], env=os.environ | variables, pass_fds=[writing], check=True, timeout=120
    )
    os.close(writing)
    with os.fdopen(reading) as offered:
        return [word.strip() for word in offered.read().split("\n") if word.strip()]


def test_a_shell_completes_commands_options_and_names_of_models():
    assert {"predict", "probe", "publish", "port", "phantoms"} == set(_completed("zoo p"))
    assert _completed("zoo predict --runt") == ["--runtime"]
    assert "nih-lite" in _completed("zoo info nih")
    assert _completed("zoo export x --format on") == ["onnx"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_script_for_each_shell(shell, capsys):
    assert main(["completion", shell]) == 0
    assert "zoo" in capsys.readouterr().out


def test_lists_are_json_where_asked(capsys):
    assert main(["list", "nih*", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["nih-lite"]
    assert main(["info", "nih-lite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["name"] == "nih-lite"


@pytest.mark.skipif(os.name != "posix", reason="about pipes of POSIX")
def test_a_reader_that_leaves_ends_a_command_without_a_word():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "zoo.cli", "list"], stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
