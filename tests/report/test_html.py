"""The page says what the numbers say, no more, and can be opened and read by anybody."""

import base64
import bisect
import io
import itertools
import re
import sys

import pytest
from PIL import Image
from report.page import Page

from zoo.evaluation.report import RESEARCH_ONLY
from zoo.evaluation.result import Estimate, from_json, to_json
from zoo.report.drawing import DARK, LIGHT
from zoo.report.html import environment, write_report
from zoo.report.layout import Table

#: Shown without being a result: the ends of a scale, and the middle one that is a threshold and chance.
CONSTANTS = (0, 0.5, 1)


@pytest.fixture(scope="module")
def page(written):
    return Page(written.read_text("utf-8"))


@pytest.fixture(scope="module")
def bare_page(bare, tmp_path_factory):
    return Page(write_report(from_json(bare), tmp_path_factory.mktemp("bare"), title="Ranks").read_text("utf-8"))


def numbers_in(value):
    """Every number of a JSON value."""
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)


def texts_in(value):
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, str):
        yield value


class Known:
    """The numbers and names of some metrics."""

    def __init__(self, metrics):
        self.numbers = sorted({*numbers_in(metrics), *CONSTANTS})
        names = {text for text in texts_in(metrics) if re.search(r"\d", text) and not text.isdecimal()}
        self.names = sorted({*names, "F1"}, key=len, reverse=True)

    def missing(self, text):
        """The numbers of a text that are not among the metrics, as exactly as they are written."""
        for name in self.names:
            text = text.replace(name, " ")
        found = re.findall(r"(?<![\w.])(-?)(\d+(?:,\d{3})*(?:\.\d+)?)((?:e-?\d+)?)(%?)", text.replace("\u2212", "-"))
        missing = []
        for sign, number, exponent, percent in found:
            shown = float(f"{sign}{number.replace(',', '')}{exponent}") / (100 if percent else 1)
            digits = len(number.partition(".")[2]) - int(exponent[1:] or 0) + (2 if percent else 0)
            tolerance = 0.5000001 * 10**-digits
            place = bisect.bisect_left(self.numbers, shown - tolerance)
            if place == len(self.numbers) or self.numbers[place] > shown + tolerance:
                missing.append(number)
        return missing


def test_every_number_shown_is_in_the_metrics(page, everything, mistakes):
    known = Known(everything | {"mistakes": [to_json(mistake.facts) for mistake in mistakes]})
    shown = page.all("td", "th", "caption", "p", "li", "dd", "figcaption", "h1", "h2", "h3")
    shown += [e for e in page.all("desc") if "epochs" not in e.text]
    assert len([e for e in shown if re.search(r"\d", e.text)]) > 300
    assert {e.text: missing for e in shown if (missing := known.missing(e.text))} == {}


def test_the_check_of_the_numbers_itself_finds_strangers(everything):
    auc = everything["findings"]["Cardiomegaly"]["auc"]["value"]
    known = Known(everything)
    assert known.missing(f"{auc:.3f} {auc:.4f} 95% {everything['n']:,} 0.5") == []
    assert known.missing("AUC 0.98712 [0.12341, 12,345], 97.31%") == ["0.98712", "0.12341", "12,345", "97.31"]


def test_each_finding_has_its_row_with_value_and_interval(page, everything):
    rows = page.section("summary")
    for finding, row in everything["findings"].items():
        assert finding in rows
        if row["auc"]["value"] is not None:
            assert f"{row['auc']['value']:.3f} [{row['auc']['low']:.3f}, {row['auc']['high']:.3f}]" in rows


def test_what_the_numbers_do_not_show_is_said_first(page):
    notes = page.section("notes")
    assert "Not shown to learn (the interval of the AUC covers 0.5): <b>&| $x^2$." in notes
    assert "one class is missing: Fracture. The mean is over 3 of 4 findings." in notes
    assert "A note of the caller." in notes


def test_sections_say_what_their_blocks_say(page, everything):
    largest = everything["subgroups"]["groupings"]["sex"]["gaps"]["auc"]["largest"]
    assert f"{largest['finding']}: {largest['higher']} above {largest['lower']} by" in page.section("subgroups")
    assert "b.png is the same image as a.png of the training part (equal bytes)." in page.section("leakage")
    assert "Reader A" in page.section("readers")
    assert "other" in page.section("models")
    assert "small: loss" in page.section("training")
    assert "sensitivity_90" in page.section("points")
    assert "temperature" in page.section("calibration")
    assert "zoo evaluate --out <here>" in page.section("made")


def test_mistakes_are_pictures_with_words(page):
    pictures = page.all("img")
    assert [e.attributes["alt"] for e in pictures] == [
        "Image film <1>.png",
        "The same image under the heatmap of Cardiomegaly",
        "Image film 2.png",
    ]
    image = Image.open(io.BytesIO(base64.b64decode(pictures[0].attributes["src"].partition(",")[2])))
    assert image.size == (398, 512)
    section = page.section("mistakes")
    assert "Cardiomegaly: labelled negative, probability 0.988" in section
    assert "Heatmaps: Grad-CAM" in section


def test_a_page_without_blocks_says_what_is_missing(bare_page):
    absent = [e.text for e in bare_page.all("p") if e.attributes.get("class") == "absent"]
    assert "Only one model was evaluated." in absent
    assert "The images were not given, so no errors are shown." in absent
    assert "Scores of unknown scale have no operating points." in absent
    assert len(absent) == 11
    drawn = {e.attributes["id"] for e in bare_page.all("h3")}
    assert drawn == {"figure-roc", "figure-precision-recall"}
    assert "Patients are unknown" in bare_page.section("notes")


def test_one_file_that_asks_for_nothing_else(page, written):
    assert {path.name for path in written.parent.iterdir()} == {"report.html", "figures"}
    assert page.all("link", "iframe", "object", "embed") == []
    for element in page.elements:
        for key in ("src", "href", "xlink:href", "action", "srcset"):
            value = element.attributes.get(key, "#")
            assert value.startswith(("#", "data:image/jpeg;base64,")), value
    assert not re.search(r"@import|url\((?!#)|https?:", page.html)
    assert "default-src 'none'" in page.html


def test_foreign_names_stay_text(page):
    assert len(page.all("script")) == 1
    assert page.all("b") == []
    assert "mine <1>" in page.all("h1")[0].text
    assert any("<b>&| $x^2$" in e.text for e in page.all("desc"))


def test_a_page_that_can_be_walked_through_by_keyboard_and_by_ear(page):
    assert page.all("html")[0].attributes["lang"] == "en"
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    links = [e.attributes["href"].removeprefix("#") for e in page.all("a", "use")]
    labels = [i for e in page.elements for i in e.attributes.get("aria-labelledby", "").split()]
    assert not {*links, *labels} - set(ids)
    levels = [int(e.tag[1]) for e in page.all("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert len(page.all("table")) == len(page.all("caption")) > 10
    assert all(e.attributes.get("scope") in ("col", "row") for e in page.all("th"))
    assert all(e.attributes["role"] == "img" for e in page.all("svg"))
    assert all(e.text for e in page.all("title", "desc"))
    scrolling = [e for e in page.elements if e.attributes.get("class") == "scroll"]
    assert all(e.attributes["tabindex"] == "0" and e.attributes["aria-labelledby"] for e in scrolling)


def test_every_figure_is_there_as_png_too(page, written):
    figures = {path.stem: Image.open(path) for path in (written.parent / "figures").iterdir()}
    assert {f"figure-{name}" for name in figures} == {
        e.attributes["id"] for e in page.all("h3") if e.attributes.get("id", "").startswith("figure-")
    }
    assert set(figures) >= {
        "roc",
        "precision-recall",
        "reliability",
        "thresholds",
        "subgroups-1",
        "together",
        "training",
    }
    for figure in figures.values():
        assert figure.format == "PNG"
        assert figure.width > 400
        assert figure.info["Disclaimer"] == RESEARCH_ONLY
        assert len(figure.convert("RGB").getcolors(1 << 20)) > 50


def test_it_stays_small(page):
    # Fourteen findings have some eighty panels, and 3 MB.
    assert len(page.html.encode()) / len(page.all("svg")) < 35_000


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(a, b):
    low, high = sorted(map(luminance, (a, b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True])
def test_colours_stand_out_from_the_paper(page, dark):
    style = page.all("style")[0].text
    blocks = re.findall(r":root \{[^}]*\}", style)
    found = {}
    for block in (b for i, b in enumerate(blocks) if dark or i % 2 == 0):
        found |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    assert found["ink"] == (DARK if dark else LIGHT)["ink"]
    for paper in (found["paper"], found["raised"]):
        assert min(contrast(found[text], paper) for text in ("ink", "muted", "link")) >= 4.5
    assert contrast(found["alarm-ink"], found["alarm"]) >= 4.5
    assert min(contrast(found[line], found["paper"]) for line in ("blue", "vermillion", "green", "purple")) >= 3


def test_the_same_numbers_make_the_same_page(bare, tmp_path):
    first, second = (write_report(from_json(bare), tmp_path / name).read_bytes() for name in "ab")
    assert first == second
    assert (tmp_path / "a/figures/roc.png").read_bytes() == (tmp_path / "b/figures/roc.png").read_bytes()


def test_without_matplotlib_it_says_what_to_install(bare, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'xrayslam-zoo\[report\]'"):
        write_report(from_json(bare), tmp_path)


def test_a_calibration_error_is_told_with_the_most_that_it_may_be():
    numbers = ((0.0, 0.0, 0.052), (0.1, 0.06, 0.14), (0.0, None, None))
    rows = tuple((f"row {i}", Estimate(*number, 90, 20)) for i, number in enumerate(numbers))
    macros = environment().get_template("macros.jinja").module

    def told(errors):
        page = macros.table_of(Table("t", ("Finding", "Calibration error"), rows, errors=errors), "t")
        return " ".join(re.sub(r"<[^>]+>", " ", page).split())

    assert told((1,)).endswith("row 0 0.000 (at most 0.052) row 1 0.100 [0.060, 0.140] row 2 too few")
    assert told(()).endswith("row 0 0.000 [0.000, 0.052] row 1 0.100 [0.060, 0.140] row 2 0.000")
