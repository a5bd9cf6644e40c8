"""Imports go only downwards, and other libraries are named only where it is agreed. Read from the source, not run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import zoo

ROOT = Path(zoo.__file__).parent
FILES = sorted(p.relative_to(ROOT).as_posix() for p in ROOT.rglob("*.py") if "recipes" not in p.relative_to(ROOT).parts)

#: Low to high. A module sees its own package and the lines above; two names on one line do not see each other.
LAYERS = (
    {"_version"},
    {"core"},
    {"labels"},
    {"config"},
    {"data", "models", "evaluation"},
    {"gate"},
    {"explain"},
    {"training"},
    {"release"},
    {"hub"},
    {"names"},
    {"runtimes"},
    {"export"},
    {"report"},
    {"inference"},
    {"dicom"},
    {"runs"},
    {"cluster"},
    {"service"},
    {"node"},
    {"app"},
    {"cli"},
)

#: Library -> the only files that may name it.
HOMES = {
    "tensorflow": {
        "core/keras_compat.py",
        "data/pipeline.py",
        "data/shards.py",
        "models/weights/host_memory.py",
        "training/devices.py",
        "training/mirrored.py",
        "training/replicas.py",
        "export/keras_formats.py",
        "runtimes/network.py",
        "explain/gradients.py",
    },
    "jax": {
        "runtimes/network.py",
        "core/backend.py",
        "core/compilation.py",
        "training/devices.py",
        "training/processes.py",
        "training/replicas.py",
        "explain/gradients.py",
    },
    "torch": set(),
    "keras_cv": {"data/augment_kerascv.py", "models/backbones_kerascv.py"},
    "sklearn": {"data/splits.py", "evaluation/baseline.py", "training/probes/linear.py"},
}


def layer(name: str) -> int:
    return next((i for i, names in enumerate(LAYERS) if name in names), -1)


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and full name of everything that is imported, inside functions too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            # `from .x import y` counts from the module it stands in.
            base = ".".join(package.split(".")[: -node.level]) if node.level else ""
            module = ".".join(filter(None, (base, node.module)))
            yield from ((node.lineno, f"{module}.{alias.name}") for alias in node.names)


def climbing(source: str, package: str) -> list[str]:
    """The imports of our own that do not go downwards."""
    own = package.split(".")[1]
    found = []
    for line, name in imports(source, package):
        parts = name.split(".")
        if parts[0] != "zoo" or len(parts) == 1 or parts[1] in (own, "__version__"):
            continue
        if layer(parts[1]) < 0 or layer(parts[1]) >= layer(own):
            found.append(f"line {line}: {name}")
    return found


def at_run_time(tree: ast.Module) -> ast.Module:
    """The tree without what type checkers alone read; `tree` is changed."""
    for node in ast.walk(tree):
        for field in ("body", "orelse"):
            block = getattr(node, field, None)
            if isinstance(block, list):
                kept = [n for n in block if not (isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")]
                setattr(node, field, kept)
    return tree


def module_of(file: str) -> str:
    return "zoo." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Module -> those of our own modules that it imports, inside functions too."""
    edges = {}
    for module, source in sources.items():
        text = ast.unparse(at_run_time(ast.parse(source)))
        names = (name for _, name in imports(text, module) if name.split(".")[0] == "zoo")
        # `from zoo.data import splits` names a module, `from zoo.data.splits import Split` something in one.
        found = {name if name in sources else name.rpartition(".")[0] for name in names}
        edges[module] = {name for name in found if name in sources and name != module}
    return edges


def circles(edges: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """The groups of modules that import each other in a circle, each sorted."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = [*edges[start]]
        while todo:
            if (name := todo.pop()) not in seen:
                seen.add(name)
                todo += edges[name]
        return seen

    reach = {name: reached(name) for name in edges}
    groups = {tuple(sorted(o for o in reach[n] if n in reach[o])) for n in edges if n in reach[n]}
    return sorted(groups)


def foreign(source: str, file: str) -> list[str]:
    """The imports of libraries that have another home than this file."""
    package = "zoo." + file.removesuffix(".py").replace("/", ".")
    tops = [(line, name.split(".")[0]) for line, name in imports(source, package)]
    return [f"line {line}: {top}" for line, top in tops if file not in HOMES.get(top, {file})]


def prints(source: str) -> list[int]:
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    return [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("file", [f for f in FILES if f != "__init__.py"])
def test_imports_go_only_downwards(file):
    package = "zoo." + file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert layer(package.split(".")[1]) >= 0, f"zoo/{file} has no place in LAYERS: give it one"
    assert climbing((ROOT / file).read_text("utf-8"), package) == []


def test_no_modules_import_each_other_in_a_circle():
    sources = {module_of(file): (ROOT / file).read_text("utf-8") for file in FILES if file != "__init__.py"}
    assert circles(graph(sources)) == []


def test_every_layer_is_there():
    top = {file.split("/")[0].removesuffix(".py") for file in FILES if file != "__init__.py"}
    assert set().union(*LAYERS) == top


@pytest.mark.parametrize("file", FILES)
def test_libraries_are_named_only_at_home(file):
    assert foreign((ROOT / file).read_text("utf-8"), file) == []


@pytest.mark.parametrize("file", [f for f in FILES if not f.startswith("cli/")])
def test_only_the_command_line_prints(file):
    assert prints((ROOT / file).read_text("utf-8")) == []


def test_the_front_door_imports_nothing_but_the_choice_of_backend():
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    outer = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert {(node.module, alias.name) for node in outer for alias in node.names if node.module.startswith("zoo")} == {
        ("zoo._version", "__version__"),
        ("zoo.core", "backend"),
    }


@pytest.mark.parametrize(
    ("source", "package", "wrong"),
    [
        ("from zoo.hub import release", "zoo.training.stages", 1),
        ("def f():\n    from zoo.training.recipe import Recipe", "zoo.data.splits", 1),
        ("import zoo.models.heads", "zoo.data.splits", 1),
        ("from zoo import predictor", "zoo.names.registry", 1),
        ("from ..models import heads", "zoo.evaluation.metrics", 1),
        ("from zoo.nowhere import x", "zoo.cli", 1),
        ("from zoo.data import tables\nfrom zoo.core.errors import SplitError", "zoo.data.splits", 0),
        ("from . import tables\nfrom zoo import __version__\nimport zoo", "zoo.data.splits", 0),
        ("import keras\nfrom zoo.evaluation import metrics", "zoo.training.stages", 0),
    ],
)
def test_the_check_itself_finds_what_climbs(source, package, wrong):
    assert len(climbing(source, package)) == wrong


def test_the_check_itself_finds_circles():
    sources = {
        "zoo.a.x": "from zoo.a import y",
        "zoo.a.y": "def f():\n    from zoo.a.z import name",
        "zoo.a.z": "import zoo.a.x",
        "zoo.a.types": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from zoo.a import user",
        "zoo.a.user": "from zoo.a import types\nfrom . import x",
    }
    assert circles(graph(sources)) == [("zoo.a.x", "zoo.a.y", "zoo.a.z")]


def test_the_check_itself_finds_foreign_libraries_and_prints():
    source = "import tensorflow as tf\ndef f():\n    import jax.numpy\n    print(1)\n"
    assert foreign(source, "models/heads.py") == ["line 1: tensorflow", "line 3: jax"]
    assert foreign("import tensorflow", "data/pipeline.py") == []
    assert prints(source) == [4]
