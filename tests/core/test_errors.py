"""Errors say what came and what would be right, in one line."""

import ast
import inspect
import pickle
from pathlib import Path

import pytest

from zoo.core import errors
from zoo.core.errors import UnknownNameError, closest

KNOWN = ("densenet121", "densenet169", "resnet50", "efficientnetb3")


def test_an_unknown_name_says_the_closest_ones_and_the_whole_list():
    error = UnknownNameError("backbone", "densnet121", KNOWN, hint="See zoo.list_models().")
    assert str(error) == (
        "unknown backbone 'densnet121'; did you mean 'densenet121' or 'densenet169'? "
        "Known: densenet121, densenet169, efficientnetb3, resnet50. See zoo.list_models()."
    )


def test_an_unknown_name_is_a_key_error_without_a_key_errors_quotes():
    with pytest.raises(KeyError) as caught:
        raise UnknownNameError("head", "zzz", ["gap"])
    assert str(caught.value) == "unknown head 'zzz'. Known: gap."
    assert (caught.value.kind, caught.value.name, caught.value.known) == ("head", "zzz", ["gap"])


def test_an_unknown_name_beside_nothing_known_or_of_another_type():
    assert str(UnknownNameError("model", "x", [])) == "unknown model 'x'."
    assert "unknown model None" in str(UnknownNameError("model", None, KNOWN))


def test_a_message_that_quotes_megabytes_keeps_its_beginning_and_its_end():
    error = errors.TableError(f"t.csv, line 7: a number is needed, got {'x' * 1_000_000!r}; write 0 or 1")
    assert len(str(error)) < 2_000
    assert str(error).startswith("t.csv, line 7: a number is needed, got 'xxx")
    assert str(error).endswith("xxx'; write 0 or 1")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    unknown = UnknownNameError("label", "y" * 1_000_000, KNOWN)
    assert (len(str(unknown)) < 2_000, str(unknown)[-30:]) == (True, "densenet169, efficientnetb3, resnet50."[-30:])


def test_closest_names_come_best_first_whatever_their_case():
    assert closest("RESNET5", KNOWN)[0] == "resnet50"
    assert closest("EDEMMA", ["Emphysema", "Edema"]) == ["Edema"]
    assert set(closest("densenet", KNOWN, n=2)) == {"densenet121", "densenet169"}
    assert closest("qqq", KNOWN) == []
    assert closest("", KNOWN) == []


OWN = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == "zoo.core.errors"]


@pytest.mark.parametrize("cls", [c for c in OWN if c is not errors.ZooError])
def test_every_error_is_a_zoo_error_and_the_built_in_one_of_its_place(cls):
    assert issubclass(cls, errors.ZooError)
    assert issubclass(cls, (ValueError, KeyError, TypeError, RuntimeError, ImportError, OSError))
    assert inspect.getdoc(cls)


def test_an_error_defined_elsewhere_in_the_package_is_a_zoo_error_unless_it_is_private():
    root = Path(errors.__file__).parents[1]
    found = []
    for path in root.rglob("*.py"):
        classes = (node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ClassDef))
        for node in classes:
            bases = {ast.unparse(base) for base in node.bases}
            public = not node.name.startswith("_") and path.name != "errors.py"
            if public and node.name.endswith("Error") and not any(b in {c.__name__ for c in OWN} for b in bases):
                found.append(f"{path}: {node.name}")
    assert found == []


def test_a_missing_extra_says_the_command_that_installs_it():
    error = errors.MissingExtraError("Parquet", "pyarrow", "parquet", "or write .csv")
    assert str(error) == (
        "Parquet needs pyarrow, which is not installed: pip install 'xrayslam-zoo[parquet]', or write .csv"
    )
    assert isinstance(error, ImportError)
    assert (error.library, error.extra) == ("pyarrow", "parquet")


@pytest.mark.parametrize("error", [UnknownNameError("head", "zzz", ["gap"]), errors.MissingExtraError("a", "b", "c")])
def test_errors_with_arguments_of_their_own_travel_between_processes(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


#: Files whose plain errors are caught in the file itself, or by the reader that calls it, and never reach the user.
CAUGHT = {
    "config/codec.py",
    "data/identity.py",
    "hub/download.py",
    "inference/parts.py",
    "models/weights/header.py",
    "models/weights/inert_pickle.py",
    "models/weights/inert_values.py",
    "release/card_merge.py",
    "release/manifest.py",
}


def test_no_plain_error_is_raised_at_the_user():
    root = Path(errors.__file__).parents[1]
    plain = {"ValueError", "TypeError", "KeyError", "IndexError", "RuntimeError", "ImportError", "Exception"}
    found = []
    for path in root.rglob("*.py"):
        raises = (node.exc for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Raise))
        names = {ast.unparse(e.func if isinstance(e, ast.Call) else e) for e in raises if e is not None}
        if names & plain and path.relative_to(root).as_posix() not in CAUGHT:
            found.append((path.relative_to(root).as_posix(), sorted(names & plain)))
    assert found == []
