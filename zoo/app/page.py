"""The page: what Gradio shows, and what happens when files are dropped."""

from __future__ import annotations

import logging
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from zoo.app import html
from zoo.app.analysis import File, Result, analyse
from zoo.app.facts import Facts, facts_of
from zoo.core.home import example_images
from zoo.inference.predictor import Predictor
from zoo.service.settings import Settings

_log = logging.getLogger("zoo.app")

#: Fonts of the reader's own machine: the page fetches none.
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "DejaVu Sans", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]


class Page:
    """The page of one model.

    Args:
        predictor: The model; its `limits` are those of one image.
        settings: Numbers of files and of waiting requests, and the operating point.
        folder: Where uploads lie until they are read.

    Raises:
        UnknownNameError: The model has no such operating point.
    """

    def __init__(self, predictor: Predictor, settings: Settings, folder: Path) -> None:
        self.predictor, self.settings, self.folder = predictor, settings, folder.resolve()
        self.facts: Facts = facts_of(predictor, settings.point)
        self.examples = example_images()

    def warm(self) -> None:
        """Answers an example, so that the first visitor does not wait for what is compiled or imported once."""
        if self.examples:
            list(analyse(self.predictor, self.facts, [_example(self.examples[0])], self.settings.point))

    def uploaded(self, files: Sequence[tuple[str, Path]] | None) -> Iterator[tuple[Any, Any]]:
        """Yields the results of uploaded files as they come, and clears the field; the files are deleted first.

        Args:
            files: Name of each file, and where it lies.
        """
        yield from self._answers([_taken(name, path, self.folder) for name, path in files or ()])

    def example(self, number: int) -> Iterator[tuple[Any, Any]]:
        """Yields the result of an example image."""
        yield from self._answers([_example(self.examples[number])])

    def _answers(self, files: list[File]) -> Iterator[tuple[Any, Any]]:
        most = self.settings.files
        late = f"more than {most} files at a time: drop it again"
        files = [*files[:most], *(File(file.name, problem=late) for file in files[most:])]
        found, last, id, begun = list[Result](), 0, secrets.token_hex(4), time.monotonic()
        for result in analyse(self.predictor, self.facts, files, self.settings.point):
            found.append(result)
            # The first at once; then ever larger parts, since each is the whole of what is shown.
            if len(found) == 1 or len(found) >= 2 * last:
                if not last:
                    _log.info("first image answered within %.3f s", time.monotonic() - begun)
                last = len(found)
                yield html.results(found, self.facts, len(files), id), None
        if len(found) > last:
            yield html.results(found, self.facts, len(files), id), None
        bad = sum(bool(result.error) for result in found)
        _log.info("%d images, %d without findings, %.3f s", len(found), bad, time.monotonic() - begun)

    def blocks(self) -> gr.Blocks:
        """Returns Gradio's description of the page."""
        common: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private", "concurrency_id": "model"}
        with gr.Blocks(title=f"{self.predictor.name}: chest radiographs", analytics_enabled=False) as blocks:
            gr.HTML(html.header(self.facts), elem_id="zoo-header", apply_default_css=False)
            gr.HTML(html.statement(), elem_id="zoo-statement", apply_default_css=False)
            drop = gr.File(
                label="Chest radiographs: JPEG, PNG, DICOM", file_count="multiple", type="filepath",
                elem_id="zoo-drop", height=140,
            )  # fmt: skip
            # Gradio's own makes an empty temporary file beside each upload. (A subclass would have it write into ours.)
            drop.preprocess = _named  # type: ignore[method-assign, assignment]
            with gr.Row(elem_id="zoo-examples"):
                gr.HTML(
                    "<p>No image at hand? Try one of NIH's:</p>", elem_id="zoo-examples-text", apply_default_css=False
                )
                buttons = [
                    gr.Button(f"Example {i + 1}", size="sm", elem_id=f"zoo-example-{i}")
                    for i in range(len(self.examples))
                ]
            shown = gr.HTML(elem_id="zoo-results", js_on_load=html.asset("page.js"), apply_default_css=False)
            gr.HTML(html.about(self.facts), elem_id="zoo-about", apply_default_css=False)
            drop.upload(self.uploaded, drop, [shown, drop], **common)
            for i, button in enumerate(buttons):
                button.click(partial(self.example, i), None, [shown, drop], **common)
        blocks.queue(max_size=self.settings.queue, default_concurrency_limit=1)
        return blocks


def theme() -> gr.Theme:
    """Returns a theme that takes nothing from elsewhere."""
    return gr.themes.Base(primary_hue="sky", neutral_hue="slate", radius_size="md", font=_FONTS, font_mono=_MONO)


def _example(path: Path) -> File:
    return File(path.name, path.read_bytes())


def _taken(name: str, path: Path, folder: Path) -> File:
    """Reads an uploaded file and deletes it; it lies in a folder of its own."""
    # The browser states the path, and what it states is deleted.
    if path.resolve().parent.parent != folder:
        return File(name, problem="this is no upload: drop the file again")
    try:
        return File(name, path.read_bytes())
    except (FileNotFoundError, IsADirectoryError):
        # The same file, uploaded twice at the same moment, lies at the same place.
        return File(name, problem="the upload was lost on its way: drop the file again")
    finally:
        shutil.rmtree(path.parent, ignore_errors=True)


def _named(payload: Any) -> list[tuple[str, Path]] | None:
    """Name of each uploaded file, and where it lies."""
    if payload is None:
        return None
    return [(file.orig_name or Path(file.path).name, Path(file.path)) for file in payload.root]
