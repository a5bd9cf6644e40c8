"""The commands in the order of a user's way, with examples: what `zoo --help` and each `--help` show."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Mapping

#: Groups of `zoo --help`, each with its commands in the order in which one needs them.
GROUPS: dict[str, tuple[str, ...]] = {
    "Use a model": ("predict", "embed", "merge", "submit", "app", "serve", "node", "export"),
    "Judge it, and the data": ("data", "evaluate", "monitor", "audit"),
    "Train one": ("demo", "probe", "train", "distill", "ablate", "cache", "phantoms", "kaggle"),
    "Share it": ("release", "gate", "install", "port", "publish", "verify", "diff", "catalog"),
    "Look around": ("list", "info", "doctor", "completion"),
}

#: Two or three examples a command, shown in its `--help`; tests parse each of them.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "predict": (
        "zoo predict --example",
        "zoo predict images/ --model nih-lite --out findings.csv",
        "zoo predict images/ --model ./release --runtime openvino --by study --out findings.parquet",
        "zoo predict list.parquet --model nih-lite --engine ray --out findings",
        "zoo predict images/ --model nih-lite --out findings.csv --shard 0/8   # one of 8 tasks; auto/8 in an array",
    ),
    "embed": ("zoo embed nih-lite images/ --out features.parquet",),
    "merge": ("zoo merge findings.csv.parts --out findings.csv",),
    "submit": ("zoo submit test2/ --sample sample_submission_2.csv --model xrayslam-ensemble --out submission.csv",),
    "export": (
        "zoo export nih-lite --format onnx",
        "zoo export ./release --format openvino --precision int8 --data my.csv",
    ),
    "app": ("zoo app nih-lite",),
    "serve": ("zoo serve nih-lite", "zoo serve ./release --runtime openvino --port 8080"),
    "node": (
        "zoo node nih-lite --aet ZOO --port 11112 --send-to ORTHANC@127.0.0.1:4242",
        "zoo node ./release --host 0.0.0.0 --allow PACS --send-to PACS@pacs.local:104 --heatmaps all",
        "zoo node nih-lite --dicomweb http://127.0.0.1:8042/dicom-web",
    ),
    "data": ("zoo data my.csv --html page.html", "zoo data chexpert/ --dataset chexpert"),
    "evaluate": (
        "zoo evaluate nih-lite --data my.csv --out evaluation",
        "zoo evaluate ./release --data my.csv --fit auto --validation-share 0.5 --out recalibrated",
        "zoo evaluate --predictions theirs.csv ours.csv --labels labels.csv --out evaluation",
    ),
    "monitor": (
        "zoo monitor reference.parquet june.parquet --html page.html",
        "zoo monitor ./release june.parquet --alpha 0.01",
    ),
    "audit": ("zoo audit --data my.csv --predictions mine-run --out audit",),
    "demo": ("zoo demo",),
    "probe": ("zoo probe nih-lite --data my.csv --out mine --as mine",),
    "train": (
        "zoo train xrayslam --data train/",
        "zoo train xrayslam --data train/ --cache cache --max-hours 8.5   # again in the next session",
    ),
    "distill": (
        "zoo distill xrayslam-demo --student efficientnetlite0 --data images/",
        "zoo distill ./release --student mobilenetv3small --data my.csv --unlabelled more/ --alpha 0.3",
    ),
    "ablate": ("zoo ablate ablation --data train/ --out ablation --max-hours 8.5   # again in the next session",),
    "cache": ("zoo cache train/ --size 224 --out cache",),
    "phantoms": ("zoo phantoms phantoms/",),
    "kaggle": ("zoo kaggle wheels kaggle-wheels --recipe xrayslam",),
    "release": ("zoo release runs/xrayslam --out release", "zoo release runs/xrayslam --out release --dtype float16"),
    "gate": ("zoo gate ./theirs --data my.csv --out checked",),
    "install": ("zoo install ./release --as mine",),
    "port": ("zoo port xrv-densenet121-all --as xrv", "zoo port model.pth --as theirs"),
    "publish": (
        "zoo publish ./release --repo me/my-model --dry-run",
        "zoo publish ./release --repo me/my-model --space my-space",
    ),
    "verify": ("zoo verify ./release", "zoo verify hf://owner/name@v1"),
    "diff": ("zoo diff ./before ./after",),
    "catalog": ("zoo catalog add theirs hf://owner/name@v1", "zoo catalog list", "zoo catalog remove theirs"),
    "list": ("zoo list", "zoo list --catalog"),
    "info": ("zoo info nih-lite",),
    "doctor": ("zoo doctor",),
    "completion": ('eval "$(zoo completion bash)"',),
}

#: What a script may rely on.
EXIT_STATUS = """\
Exit status:
  0    done
  1    refused, or something was found wrong: one line on standard error says what to do
  2    options that do not exist or do not fit
  3    `zoo monitor` raises an alarm
  70   a fault of this package: please report it
  75   a training command stopped cleanly before its end; the same command resumes it
  130  another command was stopped by Ctrl-C
  141  the reader of the output left, as `| head` does"""


class TopParser(argparse.ArgumentParser):
    """The parser of `zoo`, whose help lists the commands in groups.

    Attributes:
        commands: Name of each command -> its parser.
    """

    commands: Mapping[str, argparse.ArgumentParser] = {}

    def format_help(self) -> str:
        """Returns the help of `zoo --help`."""
        texts = {name: parser.description or "" for name, parser in self.commands.items()}
        grouped = {name for names in GROUPS.values() for name in names}
        others = {"More": tuple(name for name in texts if name not in grouped)}
        width = max(map(len, texts))
        lines = ["usage: zoo COMMAND [options]", "", textwrap.fill(self.description or "", 100)]
        for title, names in (GROUPS | {title: names for title, names in others.items() if names}).items():
            lines += ["", title]
            for name in names:
                indent = " " * (width + 4)
                lines.append(textwrap.fill(f"  {name:<{width}}  {texts[name]}", 100, subsequent_indent=indent))
        lines += ["", "`zoo COMMAND --help` shows options and examples. Start with:", "", "  zoo predict --example"]
        return "\n".join([*lines, "", EXIT_STATUS, ""])


class Formatter(argparse.HelpFormatter):
    """Wraps the paragraphs of a text, and keeps the lines of the examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        paragraphs = text.split("\n\n")
        wrapped = (
            p if p.startswith("Examples:") else super(Formatter, self)._fill_text(p, width, indent) for p in paragraphs
        )
        return "\n\n".join(wrapped)


def add_examples(parsers: Mapping[str, argparse.ArgumentParser]) -> None:
    """Puts each command's examples below its options; an action, such as `zoo catalog add`, has those that begin so."""
    for name, parser in parsers.items():
        _add(parser, EXAMPLES.get(name, ()))
        for action, inner in actions(parser).items():
            _add(inner, tuple(line for line in EXAMPLES.get(name, ()) if line.split()[2] == action))


def actions(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    """Returns a command's actions, each with its parser; none for most commands."""
    return getattr(parser, "actions", {})


def _add(parser: argparse.ArgumentParser, lines: tuple[str, ...]) -> None:
    parser.formatter_class = Formatter
    if lines:
        examples = "\n".join(["Examples:", *(f"  {line}" for line in lines)])
        parser.epilog = f"{parser.epilog}\n\n{examples}" if parser.epilog else examples
