"""Names of the user's own for releases on a Hub."""

import json
import shutil
import threading
from dataclasses import replace

import pytest
from builders import tiny_release
from publishable import rewrite

import zoo
from zoo.core.errors import HubError, IntegrityError, ReleaseError, UnknownNameError
from zoo.hub import pins
from zoo.hub.pins import Pin
from zoo.names import sources
from zoo.release import install, manifest

REPO = "tester/tiny"
PIN = Pin(REPO, "a" * 40, "b" * 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture
def commit(hub, folder):
    return hub.store.plant(REPO, folder)


def write(zoo_home, data):
    zoo_home.mkdir(exist_ok=True)
    (zoo_home / "catalog.json").write_text(data if isinstance(data, str) else json.dumps(data), "utf-8")


def test_pins_are_kept_and_forgotten(zoo_home):
    assert pins.read() == {}
    pins.add("mine", PIN)
    pins.add("xrayslam-ensemble", PIN)
    assert pins.read() == {"mine": PIN, "xrayslam-ensemble": PIN}
    entry = {"repo": REPO, "revision": "a" * 40, "manifest_sha256": "b" * 64}
    stored = json.loads((zoo_home / "catalog.json").read_text("utf-8"))
    assert stored == {"format_version": 1, "models": {"mine": entry, "xrayslam-ensemble": entry}}
    pins.remove("mine")
    assert pins.read() == {"xrayslam-ensemble": PIN}
    with pytest.raises(UnknownNameError, match="xrayslam-ensemble"):
        pins.remove("xrayslam-ensembel")


def test_a_name_that_stands_for_something_else_is_refused(folder):
    install.install(folder, "installed")
    for name, said in [
        ("installed", "is installed"),
        ("densenet121", "a backbone"),
        ("../x", "letters"),
        ("", "letters"),
    ]:
        with pytest.raises(ValueError, match=said):
            pins.add(name, PIN, replace=True)
    pins.add("mine", PIN)
    newer, elsewhere = Pin(REPO, "c" * 40, "d" * 64), Pin("other/repo", "a" * 40, "b" * 64)
    pins.add("mine", newer)
    with pytest.raises(ValueError, match=rf"pinned to hf://{REPO}@{'c' * 40}.*--replace"):
        pins.add("mine", elsewhere)
    assert pins.read() == {"mine": newer}
    pins.add("mine", elsewhere, replace=True)
    assert pins.read() == {"mine": elsewhere}


@pytest.mark.parametrize("pin", [(REPO, "main", "b" * 64), (REPO, "a" * 40, ""), ("no-owner", "a" * 40, "b" * 64)])
def test_a_pin_is_whole(pin):
    with pytest.raises(ReleaseError):
        Pin(*pin)


GOOD = {"repo": REPO, "revision": "a" * 40, "manifest_sha256": "b" * 64}


@pytest.mark.parametrize(
    "data",
    [
        "", "not JSON", "[]", {}, {"format_version": 2, "models": {}}, {"format_version": 1},
        {"format_version": 1, "models": []},
        *({"format_version": 1, "models": {"mine": entry}} for entry in (
            None, {}, {**GOOD, "more": "x"}, {**GOOD, "revision": "main"}, {**GOOD, "repo": "../x"},
            {**GOOD, "manifest_sha256": 7}, {**GOOD, "manifest_sha256": "B" * 64})),
        {"format_version": 1, "models": {"../x": GOOD}},
    ],
)  # fmt: skip
def test_a_damaged_catalog_is_named_and_left_alone(zoo_home, data):
    write(zoo_home, data)
    before = (zoo_home / "catalog.json").read_bytes()
    for call in (pins.read, lambda: pins.add("new", PIN), lambda: pins.remove("mine"), zoo.list_models):
        with pytest.raises(ReleaseError, match=r"catalog\.json"):
            call()
    assert (zoo_home / "catalog.json").read_bytes() == before


def test_many_writers_lose_no_pin():
    names = [f"name{i}" for i in range(8)]
    threads = [threading.Thread(target=pins.add, args=(name, PIN)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(pins.read()) == names


def test_a_reference_is_checked_and_then_pinned(hub, folder, commit):
    pin = pins.add_reference("mine", f"hf://{REPO}")
    assert pin == Pin(REPO, commit, manifest.sha256(folder / "manifest.json"))
    newer = hub.store.plant(REPO, {"README.md": b"# newer"})
    hub.log.clear()
    assert sources.find("mine").source == f"hf://{REPO}@{commit}"
    assert hub.log == []
    assert pins.add_reference("mine", f"hf://{REPO}@main").revision == newer
    info = zoo.info("mine")
    assert (info.repo, info.revision, info.members, info.installed) == (REPO, newer, ("tiny0", "tiny1"), "")
    assert "mine" in zoo.list_models(kind="ensemble")


def test_a_release_signed_anew_with_another_threshold_is_another_one_which_a_pin_refuses(hub, folder, commit, tmp_path):
    pin = pins.add_reference("mine", f"hf://{REPO}")
    other = shutil.copytree(folder, tmp_path / "other")

    def change(data):
        data["ensemble"]["operating_points"]["max_f1"]["thresholds"][0] = 0.35

    rewrite(other, "decision.json", change)
    moved = hub.store.plant(REPO, other)
    first = lambda name: sources.find(name).decision.operating_points["max_f1"].thresholds[0]  # noqa: E731
    assert first(f"hf://{REPO}@{moved}") == 0.35
    assert first("mine") != 0.35
    pins.add("mine", replace(pin, revision=moved), replace=True)
    with pytest.raises(IntegrityError, match=r"manifest\.json"):
        sources.find("mine")


def test_what_cannot_be_loaded_is_not_pinned(hub, folder, commit):
    broken = hub.store.plant(REPO, {"tiny1.safetensors": b"x" * (folder / "tiny1.safetensors").stat().st_size})
    with pytest.raises(IntegrityError):
        pins.add_reference("mine", f"hf://{REPO}@{broken}")
    with pytest.raises(HubError):
        pins.add_reference("mine", f"hf://{REPO}@nowhere")
    with pytest.raises(HubError, match="'hf://o/n'"):
        pins.add_reference("mine", "https://hub.example.org/o/n")
    hub.log.clear()
    with pytest.raises(ValueError, match="backbone"):
        pins.add_reference("resnet50", f"hf://{REPO}")
    assert hub.log == []
    assert pins.read() == {}


def test_a_repository_that_was_written_over_is_not_what_was_pinned(hub, folder, commit):
    pins.add("mine", Pin(REPO, commit, "0" * 64))
    with pytest.raises(IntegrityError, match="which is pinned"):
        zoo.load("mine")


def test_info_of_a_pinned_name_asks_nobody(hub, commit, offline):
    pins.add("mine", Pin(REPO, commit, "b" * 64))
    pins.add("xrayslam-ensemble", Pin(REPO, commit, "b" * 64))
    info = zoo.info("mine")
    assert (info.repo, info.revision, info.members) == (REPO, commit, ())
    assert "zoo.load('mine')" in info.summary
    assert zoo.info("xrayslam-ensemble").members == ("resnet50", "efficientnetb3", "densenet121")
    assert zoo.info("xrayslam-ensemble").revision == commit
    assert hub.log == []


def test_a_name_of_the_catalog_is_installed_or_named_or_pinned_in_this_order(hub, folder, commit, monkeypatch):
    name, variable = "xrayslam-ensemble", "ZOO_XRAYSLAM_ENSEMBLE"
    with pytest.raises(FileNotFoundError, match=f"zoo catalog add {name} hf://owner/repo"):
        zoo.load(name)
    pins.add_reference(name, f"hf://{REPO}")
    assert sources.find(name).source == f"hf://{REPO}@{commit}"
    monkeypatch.setenv(variable, str(folder))
    assert sources.find(name).folder == folder
    newer = hub.store.plant(REPO, {"README.md": b"# newer"})
    monkeypatch.setenv(variable, f"hf://{REPO}")
    with pytest.warns(UserWarning, match="not pinned"):
        assert sources.find(name).source == f"hf://{REPO}@{newer}"
    # Installed elsewhere in the meantime: a pin of that name stays, and is not used.
    installed = install.install(folder, name)
    assert sources.find(name).folder == installed
    assert (zoo.info(name).installed, zoo.info(name).repo) == (str(installed), "")


def test_a_look_at_a_release_fetches_no_weights(hub, commit, offline):
    pinned = f"hf://{REPO}@{hub.store.plant(REPO, {'evil.pkl': b'x'})}"
    seen = sources.inspect(pinned)
    assert [m.name for m in seen.members] == ["tiny0", "tiny1"]
    assert {f.name: f.state for f in seen.files}["tiny0.safetensors"] == "remote"
    assert "evil.pkl" in seen.extra
    assert seen.problems == ()
    assert not [path for _, path, _ in hub.log if "tiny0" in path or "tiny1" in path or "evil" in path]
    sources.find(pinned, ["tiny0"])
    for off, extra in ((False, {".gitattributes", "evil.pkl"}), (True, set())):
        offline(off)
        seen = sources.inspect(pinned)
        states = {f.name: f.state for f in seen.files}
        assert (states["tiny0.safetensors"], states["tiny1.safetensors"]) == ("ok", "remote")
        assert (set(seen.extra), seen.problems) == (extra, ())


def test_all_of_a_release_on_a_hub_is_verified(hub, commit):
    assert all(check.ok for check in sources.verify(f"hf://{REPO}@{commit}"))
