"""Makes the pictures of the README: the page of `zoo app`, and the top of an evaluation report. Needs Chromium.

python docs/pictures.py [FOLDER]     writes app.png and report.png (default: docs/pictures)
"""

import io
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image

import zoo
from zoo.app.server import serving
from zoo.report.html import write_report
from zoo.service.listening import listen, url_of
from zoo.service.settings import Settings

#: The example image on the page, and the finding whose heatmap is shown.
EXAMPLE, FINDING = 2, "Pleural Effusion"


def main(folder: Path) -> None:
    """Writes both pictures."""
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    model = zoo.load("nih-lite")
    settings, begun = Settings(port=0, files=16), threading.Event()
    browsers = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    with (
        tempfile.TemporaryDirectory() as made,
        listen(settings) as sock,
        serving(model, settings, begun.set) as server,
        sync_playwright() as playwright,
    ):
        thread = threading.Thread(target=server.run, args=([sock],), daemon=True)
        thread.start()
        begun.wait(120)
        browser = playwright.chromium.launch(executable_path=next(browsers), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1240, "height": 1000})
        page.goto(url_of(sock))
        page.click(f"#zoo-example-{EXAMPLE}")
        page.wait_for_selector(".zoo-map:visible")
        page.check(f"input[value='{FINDING}']")
        page.mouse.move(0, 0)
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(500)
        _save(page.screenshot(full_page=True), folder / "app.png")
        assert model.metrics is not None
        report = write_report(
            model.metrics, made, command="zoo evaluate nih-lite --data nih --dataset nih --out evaluation"
        )
        page.set_viewport_size({"width": 1200, "height": 1250})
        page.goto(report.absolute().as_uri())
        page.wait_for_timeout(500)
        _save(page.screenshot(), folder / "report.png")
        browser.close()
        server.should_exit = True
        thread.join(30)


def _save(png: bytes, path: Path) -> None:
    """Writes a picture with 256 colours, which keeps it small."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
