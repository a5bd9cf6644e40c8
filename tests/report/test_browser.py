"""The page in a real browser: on a phone, on a screen, in the dark, by keyboard and in print."""

import browser
import pytest

pytestmark = [
    pytest.mark.skipif(
        browser.find() is None, reason="no Chromium or Chrome here: put one on the path, or name it in ZOO_BROWSER"
    ),
    pytest.mark.timeout(120),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    with browser.chromium(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_page(page, written, width):
    page.open(written, width)
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_it_asks_for_nothing_and_complains_of_nothing(page, written):
    page.open(written, 1280)
    asked = [e["params"]["request"]["url"] for e in page.events if e.get("method") == "Network.requestWillBeSent"]
    assert [url for url in asked if not url.startswith("data:")] == [written.as_uri()]
    assert [e for e in page.events if e.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")] == []
    assert page.run("[...document.images].every((i) => i.complete && i.naturalWidth > 0)")


def test_words_in_figures_are_legible_on_a_phone(page, written):
    page.open(written, 360)
    smallest = page.run(
        """Math.min(...[...document.querySelectorAll("figure:not(.wide) svg text")].map((text) => {
            const svg = text.ownerSVGElement;
            return parseFloat(getComputedStyle(text).fontSize) * svg.clientWidth / svg.viewBox.baseVal.width;
        }))"""
    )
    assert smallest >= 9


def test_words_in_figures_stay_inside_them(page, written):
    page.open(written, 1280)
    outside = page.run(
        """[...document.querySelectorAll("svg.figure")].flatMap((svg) => {
            const frame = svg.getBoundingClientRect();
            return [...svg.querySelectorAll("text")].filter((text) => {
                const box = text.getBoundingClientRect();
                return box.left < frame.left - 2 || box.right > frame.right + 2
                    || box.top < frame.top - 2 || box.bottom > frame.bottom + 2;
            }).map((text) => text.textContent);
        })"""
    )
    assert outside == []


def test_the_dark_page_turns_its_figures_too(page, written):
    colours = []
    for dark in (False, True):
        page.open(written, 1280, dark=dark)
        colours.append(
            page.run(
                """[getComputedStyle(document.body).backgroundColor,
                    getComputedStyle(document.querySelector("svg.figure text")).fill]"""
            )
        )
    assert colours == [["rgb(255, 255, 255)", "rgb(27, 31, 36)"], ["rgb(20, 24, 29)", "rgb(232, 235, 239)"]]


def test_the_first_key_leads_to_the_content_and_tables_can_be_reached(page, written):
    page.open(written, 360)
    page.press("Tab")
    assert page.run("document.activeElement.textContent") == "Skip to the content"
    page.press("Enter")
    assert page.run("document.activeElement.id") == "content"
    reached = set()
    for _ in range(12):
        page.press("Tab")
        reached.add(page.run("document.activeElement.className || document.activeElement.tagName"))
    assert "scroll" in reached


def test_in_print_nothing_is_folded_or_cut(page, written):
    page.open(written, 1280)
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF")
    assert 5 <= pdf.count(b"/Type /Page\n") <= 40
    assert page.run("[...document.querySelectorAll('details')].every((d) => d.open)")
