"""Nothing that a release holds or lists is read to an end that nobody has bounded."""

import json
import os
import shutil
import time

import pytest
from builders import tiny_release
from hostile import agree, edit, write

from zoo.core.errors import ReleaseError
from zoo.names import sources
from zoo.release import install, manifest
from zoo.release.folder import ReleaseFolder
from zoo.release.read import read_release

#: Hashing 6 GB takes 6 s or more on any machine; what is refused by its size takes none.
HUGE = 6 * 10**9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


@pytest.fixture
def at_once():
    started = time.monotonic()
    yield
    assert time.monotonic() - started < 6


def sparse(path, size):
    """A large file that takes no place."""
    path.write_bytes(b"")
    os.truncate(path, size)


def listed(copy, name, size):
    edit(manifest.MANIFEST, lambda data: data["files"].update({name: {"size": size, "sha256": "0" * 64}}))(copy)


def checks(copy, names):
    """`verify` without the network."""
    from zoo.release import checks as made

    subject = made.Subject(ReleaseFolder(copy), None)
    for name in names:
        try:
            yield getattr(made, f"check_{name}")(subject)
        except ReleaseError as error:
            yield str(error)


@pytest.mark.usefixtures("at_once")
def test_a_card_is_not_hashed_or_copied_however_long_it_is(copy, tmp_path):
    sparse(copy / manifest.CARD, HUGE)
    assert read_release(copy).spec.name == "tiny-ensemble"
    seen = sources.inspect(copy)
    assert [file.state for file in seen.files if file.name == manifest.CARD] == ["edited"]
    (card,) = checks(copy, ["card"])
    assert card == "README.md is too large to be a card"
    with pytest.raises(ReleaseError, match="too many for a card"):
        install.copy(copy, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("name", ["notes.txt", "stranger.safetensors", "data.bin", "README.md", "metrics.json"])
def test_a_listed_file_that_is_no_weights_is_not_hashed_beyond_a_few_megabytes(copy, name):
    size = 4 * 10**9 if name != "metrics.json" else 5 * 2**20
    sparse(copy / name, size)
    listed(copy, name, size)
    (files,) = checks(copy, ["files"])
    assert "are too many for this file (at most 4,194,304)" in files
    problems = sources.inspect(copy).problems
    assert name == manifest.CARD or any("are too many for this file" in problem for problem in problems)


@pytest.mark.usefixtures("at_once")
def test_many_strangers_are_not_hashed(copy):
    for i in range(50):
        sparse(copy / f"s{i}.safetensors", 10**9)
        listed(copy, f"s{i}.safetensors", 10**9)
    (files,) = checks(copy, ["files"])
    assert "(and 47 more)" in files
    assert len(sources.inspect(copy).problems) >= 50


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"n": 1, "n": 2}', "key 'n' appears twice"),
        ('{"a": {"b": 1, "b": 1}}', "key 'b' appears twice"),
        ('{"a":' + "[" * 200_000, "not readable as JSON"),
        ('{"a": NaN}', "NaN is not a JSON number"),
        ('{"a": 1e999}', "too large a number"),
        ("[" + "0," * 2**21 + "0]", "too many for this file"),
    ],
    ids=["twice", "twice inside", "nested", "NaN", "1e999", "4 MB"],
)
@pytest.mark.parametrize("name", ["metrics.json", "decision.json", "parity.json", "config.json", "labels.json"])
def test_odd_json_is_refused_in_every_file(copy, name, text, says):
    write(name, text)(copy)
    with pytest.raises(ReleaseError) as caught:
        read_release(copy)
    assert says in str(caught.value) or "the size of" in str(caught.value)
    assert len(str(caught.value)) < 1000
    assert any(name in problem for problem in sources.inspect(copy).problems)


def test_sizes_that_lie(copy):
    for size in (0, -1, 10**18, "12", True, 1.5, None):
        agree(copy)
        listing = json.loads((copy / manifest.MANIFEST).read_text())
        listing["files"]["tiny0.safetensors"]["size"] = size
        (copy / manifest.MANIFEST).write_text(json.dumps(listing))
        with pytest.raises(ReleaseError, match="size"):
            read_release(copy)
        assert any("tiny0.safetensors" in problem for problem in sources.inspect(copy).problems)
