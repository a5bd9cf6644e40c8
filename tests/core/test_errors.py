"""Errors say what came and what would be right, in one line."""

import inspect

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


def test_closest_names_come_best_first_whatever_their_case():
    assert closest("RESNET5", KNOWN)[0] == "resnet50"
    assert closest("EDEMMA", ["Emphysema", "Edema"]) == ["Edema"]
    assert set(closest("densenet", KNOWN, n=2)) == {"densenet121", "densenet169"}
    assert closest("qqq", KNOWN) == []
    assert closest("", KNOWN) == []


def test_every_error_is_a_value_error_or_a_key_error():
    own = [c for _, c in inspect.getmembers(errors, inspect.isclass) if c.__module__ == "zoo.core.errors"]
    assert len(own) >= 8
    for cls in own:
        assert issubclass(cls, (ValueError, KeyError, RuntimeError)), cls
        assert inspect.getdoc(cls), cls
