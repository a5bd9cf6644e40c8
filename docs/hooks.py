"""Pages that are made from the code: the tables of models and recipes, and the help of each command."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that nobody writes by hand."""
    os.environ.setdefault("COLUMNS", "100")
    for name, text in (("reference/models.md", models()), ("reference/commands.md", commands())):
        files.append(File.generated(config, name, content=text))
    return files


def models() -> str:
    """The page of models, backbones and recipes."""
    from zoo.names import catalog_table, registry

    backbones = "\n".join(
        f"| `{name}` | {registry.info(name).summary} |" for name in registry.list_models(kind="backbone")
    )
    recipes = (ROOT / "recipes" / "README.md").read_text("utf-8")
    recipes = re.sub(r"\[([^]]*)\]\((?!http|#)[^)]*\)", r"\1", recipes).replace("# Recipes", "## Recipes", 1)
    return (
        "# Models and recipes\n\nMade from the registry: `zoo list --catalog` prints the first table.\n\n"
        f"## Models by name\n\n{catalog_table.markdown(catalog_table.rows())}\n\n"
        f"## Backbones\n\n| Name | What it is |\n| --- | --- |\n{backbones}\n\n{recipes}"
    )


def commands() -> str:
    """The page of commands: what `zoo --help` and each `--help` print."""
    from zoo.cli import parser
    from zoo.cli.journey import EXIT_STATUS, GROUPS

    top = parser()
    choices = top.commands
    lines = ["# Command line", "", "```text", top.format_help().rstrip(), "```"]
    for title, names in GROUPS.items():
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", f"### zoo {name}", "", "```text", choices[name].format_help().rstrip(), "```"]
    assert EXIT_STATUS in lines[3]
    return "\n".join(lines) + "\n"
