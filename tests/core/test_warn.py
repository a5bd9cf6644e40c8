"""A warning names the line that called into the package, from whichever thread and through whatever lies between."""

import contextlib
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo.core import warn

#: A module of the package, as far as `zoo.core.warn` can tell.
PACKAGE = """
import contextlib
from zoo.core.warn import Threads, warn_user

def warns(text="deep"):
    warn_user(text)

def through_threads():
    with Threads(2) as pool:
        list(pool.map(warns, ["a", "b"]))

@contextlib.contextmanager
def opened():
    warns()
    yield

def through_threads_of_threads():
    with Threads(1) as pool:
        pool.submit(through_threads).result()

def calls_back(call):
    call()
"""


@pytest.fixture(scope="module")
def inside():
    names: dict = {"__name__": "zoo.inside"}
    exec(compile(PACKAGE, str(Path(warn.__file__).with_name("inside.py")), "exec"), names)
    return names


def here():
    return sys._getframe(1).f_lineno


@pytest.mark.parametrize("name", ["warns", "through_threads", "through_threads_of_threads", "opened"])
def test_the_line_is_the_users(inside, name):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with inside[name]() or contextlib.nullcontext():  # what opens a context warns when it is entered
            line = here() - 1
    assert {(Path(w.filename), w.lineno) for w in caught} == {(Path(__file__), line)}


def test_in_a_thread_of_the_users_the_line_is_there(inside):
    seen = []

    def work():
        seen.append(here() + 1)
        inside["through_threads"]()

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for run in (lambda: ThreadPoolExecutor(1).submit(work).result(), lambda: threading.Thread(target=work).start()):
            run()
            for thread in threading.enumerate():
                if thread is not threading.main_thread() and not thread.daemon:
                    thread.join(1)
    assert {(Path(w.filename), w.lineno) for w in caught} == {(Path(__file__), seen[0])}


def test_another_package_that_begins_alike_is_the_users(tmp_path, inside):
    path = tmp_path / "zoo_mine.py"
    path.write_text("def f(warns):\n    warns()\n")
    names: dict = {"__name__": "zoo_mine"}
    exec(compile(path.read_text(), f"{Path(warn.__file__).parents[1]}_mine/x.py", "exec"), names)
    with pytest.warns(UserWarning, match="deep") as caught:
        names["f"](inside["warns"])
    assert caught[0].filename.endswith("_mine/x.py")
    assert caught[0].lineno == 2


def test_each_line_is_warned_of_once_by_default(inside):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            inside["warns"]("once")
    assert len(caught) == 1


def test_an_image_that_is_decoded_in_a_thread_warns_at_the_users_line(tmp_path):
    from zoo.core.warn import Threads
    from zoo.data.images.reading import read_image

    Image.fromarray(np.arange(4096, dtype=np.uint16).reshape(64, 64)).save(tmp_path / "deep.png")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Threads(2) as pool:
            pool.submit(read_image, str(tmp_path / "deep.png"), 32).result()
    assert caught
    assert {Path(w.filename) for w in caught} == {Path(__file__)}
