"""Reading files that somebody else may have written."""

import json

import pytest

from zoo.core.errors import ReleaseError
from zoo.release import manifest


def test_a_described_folder_passes_and_an_altered_byte_does_not(tmp_path):
    (tmp_path / "a.bin").write_bytes(b"12345678")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.txt").write_text("hello")
    files = manifest.describe(tmp_path)
    assert list(files) == ["a.bin", "sub/b.txt"]
    manifest.check(tmp_path, files)
    (tmp_path / "a.bin").write_bytes(b"12345679")
    with pytest.raises(ReleaseError, match=r"a\.bin: altered"):
        manifest.check(tmp_path, files)
    (tmp_path / "a.bin").write_bytes(b"1")
    with pytest.raises(ReleaseError, match="size"):
        manifest.check(tmp_path, files)
    (tmp_path / "a.bin").unlink()
    with pytest.raises(ReleaseError, match=r"'a\.bin' is missing"):
        manifest.check(tmp_path, files)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "C:\\x", "a\x00b", "", "a\\b", "nul?"])
def test_names_that_leave_the_folder_are_refused(tmp_path, name):
    with pytest.raises(ReleaseError):
        manifest.inside(tmp_path, name)


def test_a_link_that_leads_outside_is_refused(tmp_path):
    inner = tmp_path / "release"
    inner.mkdir()
    (tmp_path / "secret").write_text("s")
    (inner / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ReleaseError, match="outside"):
        manifest.inside(inner, "link")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "an empty file"),
        (b"<!DOCTYPE html><html>404</html>", "HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"[1, 2]", "expected a JSON object, got list"),
        (b'{"a": 1, "a": 2}', "'a' appears twice"),
        (b'{"a": NaN}', "NaN"),
        (b"[" * 200_000, "not readable"),
        (b" " * (manifest.MAX_JSON_BYTES + 1), "too many"),
    ],
)
def test_what_is_no_small_json_object_is_refused_in_words(tmp_path, content, says):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ReleaseError, match=says):
        manifest.read_json(path)


def test_numbers_survive_writing_and_reading(tmp_path):
    data = {"x": 0.1 + 0.2, "y": None, "name": "Überblick"}
    manifest.write_json(tmp_path / "a.json", data)
    assert manifest.read_json(tmp_path / "a.json") == data
    with pytest.raises(ValueError, match="JSON"):
        manifest.write_json(tmp_path / "b.json", {"x": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text())["name"] == "Überblick"
