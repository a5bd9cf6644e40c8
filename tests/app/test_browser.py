"""The page in a real browser: files dropped, a probability read, findings switched, bad files, phone and keyboard."""

import base64
import io

import browser
import numpy as np
import pandas as pd
import pytest
from dicoms import radiograph
from paged import opened, paged
from PIL import Image

import zoo
from zoo.evaluation.tables import RESEARCH_ONLY
from zoo.inference.load import load

pytest.importorskip("gradio", reason="the extra app is not installed")
pytest.importorskip("playwright", reason="playwright is not installed")

pytestmark = [
    pytest.mark.tensorflow_only,
    pytest.mark.skipif(
        browser.find() is None, reason="no Chromium or Chrome here: put one on the path, or name it in ZOO_BROWSER"
    ),
    pytest.mark.timeout(180),
]

EXAMPLES = zoo.example_images()


@pytest.fixture(scope="module")
def model():
    return load("nih-lite")


@pytest.fixture(scope="module")
def served(model):
    with paged(model, files=5) as found:
        yield found


@pytest.fixture(scope="module")
def chrome():
    with opened() as found:
        yield found


class Tab:
    """A page, with what it asked for and complained of."""

    def __init__(self, chrome, url, width=1366, dark=False):
        self.context = chrome.new_context(
            viewport={"width": width, "height": 850}, color_scheme="dark" if dark else "light"
        )
        self.page, self.asked, self.said = self.context.new_page(), [], []
        self.page.set_default_timeout(60_000)
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda line: self.said.append(line.text) if line.type == "error" else None)
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.goto(url)

    def upload(self, *files, count=None):
        """Uploads (name, content), and waits for the results of all."""
        payload = [{"name": n, "mimeType": "application/octet-stream", "buffer": content} for n, content in files]
        self.page.set_input_files("#zoo-drop input[type=file]", payload)
        self.page.wait_for_selector(f'.zoo-results[data-count="{count or len(files)}"]')

    def shown(self):
        """Finding -> cells of the table in view."""
        rows = self.page.locator(".zoo-result:not([hidden]) tbody tr").all()
        cells = ([cell.inner_text().split() for cell in row.locator("th, td").all()] for row in rows)
        return {" ".join(finding): rest for finding, *rest in cells}


@pytest.fixture
def tab(chrome, served, request):
    found = Tab(chrome, served[0], **getattr(request, "param", {}))
    yield found
    found.context.close()


def dicom():
    return radiograph(np.asarray(Image.open(EXAMPLES[2])))


def stored(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_file_is_answered_with_the_numbers_of_the_model_and_nothing_is_kept(tab, served, model):
    content = EXAMPLES[2].read_bytes()
    tab.upload(("mine.jpg", content))
    table = model.findings([content]).set_index("finding")
    shown = tab.shown()
    assert set(shown) == set(table.index[table["error"] == ""])
    for finding, (chance, threshold, verdict, sensitivity) in shown.items():
        row = table.loc[finding]
        assert chance == [f"{row['probability']:.2f}"]
        assert threshold == [f"{row['threshold']:.2f}"]
        assert verdict == ["Positive" if row["positive"] else "Negative"]
        number = model.metrics.findings[finding].get("sensitivity", model.decision.default)
        assert sensitivity[:3] == [f"{number.value:.2f}", f"[{number.low:.2f},", f"{number.high:.2f}]"]
        assert sensitivity[-1] == str(number.positives)
    text = tab.page.inner_text("body")
    assert RESEARCH_ONLY in text
    assert "Image quality: ok" in text
    assert "a part of NIH ChestX-ray14" in text
    assert stored(served[1]) == []
    assert all(url.startswith((served[0], "data:")) for url in tab.asked)
    assert tab.said == []


def test_the_finding_and_the_opacity_of_its_heatmap_are_chosen_by_keyboard(tab):
    tab.page.focus("#zoo-example-2")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_selector(".zoo-results")
    first = tab.page.locator("input[type=radio]:checked")
    before = first.input_value()
    assert tab.page.locator(".zoo-map:visible").get_attribute("alt") == f"Heatmap of {before}"
    first.focus()
    tab.page.keyboard.press("ArrowDown")
    after = tab.page.locator("input[type=radio]:checked").input_value()
    assert after != before
    assert tab.page.locator(".zoo-map:visible").get_attribute("data-finding") == after
    assert tab.page.inner_text(".zoo-finding-name") == after
    tab.page.focus("input[type=range]")
    tab.page.keyboard.press("End")
    assert tab.page.locator(".zoo-map:visible").evaluate("image => image.style.opacity") == "1"


def test_many_files_with_bad_ones_among_them(tab, served):
    good = [(f"<b>{i}</b>.jpg", path.read_bytes()) for i, path in enumerate(EXAMPLES)]
    files = [good[0], ("notes.txt", b"no image"), *good[1:], ("empty.png", b""), ("late.jpg", good[0][1])]
    tab.upload(*files)
    rows = [row.inner_text().split("\n") for row in tab.page.locator(".zoo-files li").all()]
    assert [row[0] for row in rows] == [name for name, _ in files]
    assert rows[1][1].startswith("No findings: not an image")
    assert "empty" in rows[4][1]
    assert rows[5][1] == "No findings: more than 5 files at a time: drop it again"
    assert tab.page.locator(".zoo-result:visible h2").inner_text() == "<b>0</b>.jpg"
    tab.page.locator(".zoo-files button").nth(2).click()
    assert tab.page.locator(".zoo-result:visible h2").inner_text() == "<b>2</b>.jpg"
    with tab.page.expect_download() as download:
        tab.page.click("text=Download table (CSV)")
    table = pd.read_csv(download.value.path())
    assert list(table["image"].unique()) == [name for name, _ in files[:5]]
    assert stored(served[1]) == []
    # The next files begin anew.
    tab.upload(("alone.txt", b"no image"))
    assert "No findings: not an image" in tab.page.inner_text(".zoo-result:visible")


def test_a_refused_upload_is_told_below_and_leaves_no_error_in_the_field(tab):
    refusal = "The files are larger than 20 MB together: choose fewer."
    tab.page.route("**/upload*", lambda route: route.fulfill(status=413, body=refusal))
    file = {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": b"large"}
    tab.page.set_input_files("#zoo-drop input[type=file]", [file])
    told = tab.page.wait_for_selector(f"text={refusal}").bounding_box()
    assert told["y"] > tab.page.locator("#zoo-drop").bounding_box()["y"] + 140
    assert tab.page.inner_text(".toast-message-text").strip() == refusal  # without "HTTP 413: "
    tab.page.wait_for_selector("#zoo-drop .error", state="attached")
    assert not tab.page.locator("#zoo-drop .error").is_visible()


def test_a_dicom_file_has_a_report_to_download(tab):
    pydicom = pytest.importorskip("pydicom")
    pytest.importorskip("highdicom")
    tab.upload(("IM0001", dicom()))
    with tab.page.expect_download() as download:
        tab.page.click("text=Download report (DICOM SR)")
    report = pydicom.dcmread(download.value.path())
    assert (report.Modality, report.StudyInstanceUID) == ("SR", "1.2.826.0.1.1")


@pytest.mark.parametrize(
    "tab",
    [{"width": 390}, {"width": 1366}, {"width": 1366, "dark": True}],
    ids=["phone", "laptop", "dark"],
    indirect=True,
)
def test_it_fits_and_is_accessible(tab, tmp_path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    tab.upload(("a.jpg", EXAMPLES[1].read_bytes()), ("notes.txt", b"no image"))
    width = tab.page.viewport_size["width"]
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
    found = axe.Axe().run(tab.page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")] == []
    picture = Image.open(io.BytesIO(tab.page.screenshot()))
    assert picture.width == width
    for each in (390, 700, 1030, 1100, 1200, 1366) if width == 1366 else (320, 390):
        tab.page.set_viewport_size({"width": each, "height": 850})
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= each
        table, card = (tab.page.locator(f"{name}:visible").bounding_box() for name in (".zoo-table", ".zoo-result"))
        assert table["x"] + table["width"] <= card["x"] + card["width"]
    tab.page.mouse.wheel(0, 2000)
    assert tab.page.locator(".zoo-statement").is_visible()
    box = tab.page.locator(".zoo-statement").bounding_box()
    assert 0 <= box["y"] < 850


def test_the_picture_in_the_page_is_the_image(tab):
    tab.upload(("mine.jpg", EXAMPLES[0].read_bytes()))
    data = tab.page.locator(".zoo-image img").first.get_attribute("src").partition(",")[2]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == Image.open(EXAMPLES[0]).size
