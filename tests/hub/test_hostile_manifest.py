"""A release whose list of files is made to do harm: cases 2 to 5 and 19 of `tests/hostile.py`."""

import os
import shutil
from pathlib import Path

import pytest
from builders import tiny_release
from hostile import Reading, all_of, check_refused, edit, link, listing, put, read_all, replace, write

from zoo.cli import main
from zoo.core.errors import ReleaseError
from zoo.names import sources
from zoo.release import layout, manifest, schema

MANIFEST = manifest.MANIFEST


def remove(name):
    return lambda folder: (folder / name).unlink()


def sparse(name, size):
    """A large file that takes no place."""
    return lambda folder: (folder / name).write_bytes(b"") or os.truncate(folder / name, size)


def folder_in_place_of(name):
    return all_of(remove(name), lambda folder: (folder / name).mkdir())


def pipe_in_place_of(name):
    """Whoever opens it waits for its other end."""
    return all_of(remove(name), lambda folder: os.mkfifo(folder / name))


def only(name):
    """Nothing but a model in a format that may run code, and a card."""

    def damage(folder):
        for path in folder.iterdir():
            path.unlink()
        (folder / name).write_bytes(b"\x80\x04x")
        (folder / "README.md").write_text("# A model")

    return damage


def stated_size(name, size):
    return put(MANIFEST, f"files/{name}/size", size)


#: Case 2, and 19. Nothing but the manifest is opened.
BROKEN = {
    "missing": (remove(MANIFEST), "'manifest.json' is missing"),
    "a folder": (folder_in_place_of(MANIFEST), "'manifest.json' is missing"),
    "a pipe": (pipe_in_place_of(MANIFEST), "'manifest.json' is missing"),
    "empty": (write(MANIFEST, b""), "an empty file"),
    "cut off": (write(MANIFEST, '{"format_version": 1, "files": {'), "not readable as JSON"),
    "an HTML page": (write(MANIFEST, "<!doctype html>404"), "an HTML page"),
    "a git-lfs pointer": (write(MANIFEST, "version https://git-lfs.github.com/spec/v1\n"), "a git-lfs pointer"),
    "no UTF-8": (write(MANIFEST, b'{"\xff": 1}'), "not readable as JSON"),
    "a list": (write(MANIFEST, "[1]"), "expected a JSON object, got list"),
    "nested": (write(MANIFEST, '{"a":' + "[" * 500_000), "not readable as JSON"),
    "1 GB": (sparse(MANIFEST, 2**30), "1,073,741,824 bytes are too many for this file (at most 1,048,576)"),
    "a key twice": (
        write(MANIFEST, "{" + ",".join(f'"{i}":0' for i in range(90_000)) + ',"89999":1}'),
        "key '89999' appears twice",
    ),
    "80,000 files": (
        edit(MANIFEST, lambda d: d["files"].update({f"{i}": 0 for i in range(80_000)})),
        "at most 1,000 are read",
    ),
    "a number without end": (
        replace(MANIFEST, '"format_version": 1', f'"format_version": {"9" * 4200}'),
        "4200 digits",
    ),
    "half a character": (replace(MANIFEST, '"files": {', '"files": {"\\ud800": {}, '), "surrogates not allowed"),
    "a version of the future": (
        all_of(put(MANIFEST, "format_version", 2), put(MANIFEST, "zoo", "9.8.7")),
        "format 2 is newer than 1: it needs xrayslam-zoo >= 9.8.7",
    ),
    "a text as version": (put(MANIFEST, "format_version", "1" * 10**6), "format_version must be a number from 1"),
    "true as version": (put(MANIFEST, "format_version", True), "format_version must be a number from 1"),
    "no version": (edit(MANIFEST, lambda d: d.pop("format_version")), "format_version must be a number from 1"),
    "no files": (put(MANIFEST, "files", ["config.json"]), "lists no files"),
    "config.json unlisted": (edit(MANIFEST, lambda d: d["files"].pop("config.json")), "'config.json' is not listed"),
    "no facts": (put(MANIFEST, "files/config.json", "x"), "the size of 'config.json' must be 0 to 4,194,304"),
    "a size below 0": (stated_size("config.json", -1), "the size of 'config.json' must be"),
    "a config of 3 GB": (
        all_of(sparse("config.json", 3 * 2**30), stated_size("config.json", 3 * 2**30)),
        "the size of 'config.json' must be 0 to 4,194,304 bytes, got 3221225472",
    ),
    "golden images of 8 GB": (
        all_of(sparse("parity.safetensors", 2**33), stated_size("parity.safetensors", 2**33)),
        "the size of 'parity.safetensors' must be",
    ),
}

#: Case 3: names that the manifest lists.
OUTSIDE = [
    "../outside/secret.json", "a/../../outside/secret.json", "..", "/etc/passwd", "//server/share", "C:\\x", "C:x",
    "a\\b", "a\0b", "a\nb", "\x1b[2J", "\u202egnp.exe", "NUL", "con.txt", "sub/Aux", "aux .json", "COM1", "lpt9.txt",
    "COM\u00b9", "conin$", "a.", "a ", "", "x" * 256, "\u00e9" * 128, "a*b",
]  # fmt: skip

#: Case 3: links in the folder. (What is done, what is said, a name that is not opened.)
LINKS = {
    "the manifest": (link(MANIFEST, "../outside/secret.json"), MANIFEST),
    "a document": (link("config.json", "../outside/secret.json"), "config.json"),
    "the weights": (link("tiny0.safetensors", "../outside/secret.json"), "tiny0.safetensors"),
    "the card": (link("README.md", "../outside/secret.json"), "README.md"),
    "a folder": (all_of(link("sub", "../outside"), listing("sub/secret.json")), "sub/secret.json"),
    "a link to itself": (all_of(link("loop", "loop"), listing("loop")), "loop"),
    "two links in a circle": (all_of(link("a", "b"), link("b", "a"), listing("a")), "a"),
}

#: Case 4.
EXTRA = {
    "run.py": b"raise SystemExit",
    "m.pkl": b"\x80\x04",
    "m.h5": b"\x89HDF",
    "m.keras": b"PK",
    "sub/m.so": b"\x7fELF",
}


def add_extra(folder):
    (folder / "sub").mkdir()
    for name, data in EXTRA.items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe.py")


#: Case 5.
UNSAFE = ["model.keras", "model.weights.h5", "model.hdf5", "MODEL.PKL", "model.pt", "pytorch_model.bin"]


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture(scope="module")
def readings(release, tmp_path_factory) -> dict[str, Reading]:
    damages = {f"manifest: {name}": damage for name, (damage, _) in BROKEN.items()}
    damages |= {f"name: {name}": listing(name) for name in OUTSIDE}
    damages |= {f"link: {name}": damage for name, (damage, _) in LINKS.items()}
    damages |= {f"only: {name}": only(name) for name in UNSAFE}
    damages["extra"] = add_extra
    return read_all(release, damages, tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_manifest_is_refused_unparsed_or_in_words(readings, name):
    found = readings[f"manifest: {name}"]
    check_refused(found, BROKEN[name][1])
    assert set(found.opened) <= {MANIFEST}


@pytest.mark.parametrize("name", OUTSIDE, ids=[repr(name)[:20] for name in OUTSIDE])
def test_a_name_that_leads_outside_is_refused_before_anything_is_opened(readings, name):
    found = readings[f"name: {name}"]
    check_refused(found, "is not a path inside the release")
    assert found.opened == [MANIFEST]


@pytest.mark.parametrize("name", LINKS)
def test_a_link_that_leads_outside_is_refused_before_it_is_opened(readings, name):
    found = readings[f"link: {name}"]
    check_refused(found, "leads outside the release")
    assert LINKS[name][1] not in found.opened
    assert set(found.opened) <= {MANIFEST}


def test_the_schema_has_the_same_limit_of_files():
    assert schema.load("manifest")["properties"]["files"]["maxProperties"] == layout.MAX_FILES


def test_extra_files_are_not_opened(readings, release):
    found = readings["extra"]
    assert found.said == ""
    assert set(found.opened) <= {path.name for path in release.iterdir()}


@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_formats_alone_are_refused_unopened(readings, name):
    found = readings[f"only: {name}"]
    check_refused(found, f"weights only in unsafe formats ({name!r}): reading one may run code; there is no fallback")
    assert found.opened == []


@pytest.mark.parametrize("name", ["model.keras", "model.weights.h5", "model.pkl"])
def test_a_file_in_place_of_a_folder_is_named_for_what_it_is(tmp_path, name):
    path = tmp_path / name
    path.write_bytes({"l": b"\x80\x04]", "5": b"\x89HDF\r\n\x1a\n", "s": b"PK\x03\x04"}[name[-1]])
    with pytest.raises(ReleaseError, match=r"is (an HDF5|a zip|a Python pickle).*a release is a folder"):
        sources.find(path)


@pytest.mark.parametrize("command", [["verify"], ["install", "--as", "mine"]])
def test_the_command_line_says_it_in_a_line(release, tmp_path, capsys, zoo_home, command):
    folder = Path(shutil.copytree(release, tmp_path / "copy"))
    listing("../labels.json")(folder)
    assert main([command[0], str(folder), *command[1:]]) == 1
    out, err = capsys.readouterr()
    assert "'../labels.json' is not a path inside the release" in out + err
    assert not (zoo_home / "releases" / "mine").exists()
