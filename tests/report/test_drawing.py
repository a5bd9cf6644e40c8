"""What is drawn: one picture a panel, which stands by itself among many on a page."""

import re
from xml.etree import ElementTree

import pytest

from zoo.evaluation.result import Estimate
from zoo.report.drawing import LIGHT, render
from zoo.report.forest import Row, forest
from zoo.report.layout import Chart, Panel, Table, decimals, digits


def number(value, low=None, high=None):
    return Estimate(value, low, high, n=10, positives=4)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    def draw(axes):
        axes.plot([0, 1], [0, 2], "o-", color=LIGHT["blue"], label="a <b> & $x^2$")
        axes.legend()

    panels = (Panel("First & <best>", "A line.", draw), Panel("Second", "The same line.", draw))
    return render(Chart("lines", "Lines", panels), tmp_path_factory.mktemp("figures"))


def test_each_panel_stands_by_itself(drawn):
    for i, markup in enumerate(drawn, 1):
        root = ElementTree.fromstring(markup)
        ids = {element.get("id") for element in root.iter()} - {None}
        assert all(name.startswith(f"lines-{i}-") for name in ids)
        references = re.findall(r'(?:url\(#|href="#)([^)"]+)', markup)
        assert references
        assert set(references) <= ids
        assert [e.tag for e in root.iter() if e.tag in ("style", "metadata")] == []
        assert "http" not in markup
    assert ElementTree.fromstring(drawn[0]).findtext("title") == "First & <best>"
    # Each is a figure of its own, of the panel's size in points.
    assert [ElementTree.fromstring(markup).get("viewBox") for markup in drawn] == ["0 0 244.8 273.6"] * 2


def test_colours_follow_the_page_and_text_stays_text(drawn):
    assert "var(--blue)" in drawn[0]
    assert not [colour for colour in LIGHT.values() if colour in drawn[0]]
    assert "a &lt;b&gt; &amp; $x^2$" in drawn[0]
    assert "DejaVu" not in drawn[0]


def test_a_forest_says_in_words_what_it_shows():
    rows = [
        Row("Edema", {"F": number(0.8, 0.7, 0.9), "M": None}),
        Row("Fracture", {"F": number(None), "M": number(0.6)}),
    ]
    (panel,) = forest("AUC by sex", "AUC", rows, reference=0.5)
    assert panel.description == "AUC. Edema: F 0.800 [0.700, 0.900], M undefined; Fracture: F undefined, M 0.600."


def test_a_long_forest_goes_on_in_the_next_panel_on_the_same_axis(tmp_path):
    rows = [Row(f"Finding {i}", {name: number(i / 40, 0.0, i / 30) for name in "ABCDEFGH"}) for i in range(12)]
    panels = forest("AUC", "AUC", rows)
    assert [panel.title for panel in panels] == [
        "AUC: Finding 0 to Finding 2",
        "AUC: Finding 3 to Finding 5",
        "AUC: Finding 6 to Finding 8",
        "AUC: Finding 9 to Finding 11",
    ]
    drawn = render(Chart("forest", "Forest", panels), tmp_path)
    ticks = [re.findall(r">(\d\.\d+)</text>", markup) for markup in drawn]
    assert ticks[0]
    assert ticks == [ticks[0]] * 4


def test_a_forest_of_nothing_is_no_error(tmp_path):
    assert len(render(Chart("none", "None", forest("AUC", "AUC", [Row("Edema", {"F": None})])), tmp_path)) == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "\u2013"), (0.12345, "0.123"), (-0.5, "\u22120.500"), (-0.0001, "0.000"), (1.0, "1.000")],
)
def test_numbers_have_three_decimals(value, shown):
    assert decimals(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(0.25, "0.250"), (0.05, "0.0500"), (0.001638, "0.00164"), (0.0, "0.000")])
def test_thresholds_have_three_digits(value, shown):
    assert digits(value) == shown


def test_columns_of_text_are_known():
    table = Table("Things", ("Name", "Kind", "n", "Note"), (("a", "x", 1, ""), ("b", "", 2, "")))
    assert table.text_columns == {0, 1}
