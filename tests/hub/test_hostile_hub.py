"""A Hub, a network or a disk that does harm: cases 1, 3, 10 to 12, 14, 17 and 20 of `tests/hostile.py`."""

import json
import shutil
import subprocess
import sys
import threading
import traceback
import warnings

import pytest
from builders import tiny_release

import zoo
from zoo.cli import main
from zoo.core.errors import HubError, IntegrityError, ReleaseError
from zoo.hub import download
from zoo.hub.pull import pull
from zoo.names import sources
from zoo.release import manifest
from zoo.release.read import read_release

REPO = "tester/tiny"

#: Where a fault strikes.
PLACES = {"listing": "GET /api/models/", "manifest": "/resolve/.*/manifest.json", "weights": "GET /cdn/.*/tiny0"}

#: Kind of fault, and what it is made of; all of them last.
FAULTS = [
    *(("status", {"status": code}) for code in (400, 401, 403, 404, 429, 500, 503)),
    ("status", {"status": 404, "code": "EntryNotFound"}),
    ("status", {"status": 404, "code": "RepoNotFound"}),
    ("status", {"status": 429, "retry_after": 5}),
    ("drop", {}),
    ("lose", {}),
    ("html", {}),
    ("redirect", {}),
    ("truncate", {}),
    ("length", {"by": 7}),
    ("length", {"by": -7}),
    ("drip", {"rate": 5}),
    ("delay", {"seconds": 3.0}),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture
def commit(hub, folder):
    return hub.store.plant(REPO, folder)


@pytest.fixture
def limits(monkeypatch):
    """Sets limits of time that a test can wait for, and sets them back."""
    kept = {name: getattr(download, name) for name in ("SMALL_SECONDS", "WEIGHTS_SECONDS", "BYTES_PER_SECOND")}

    def set_to(**seconds):
        for name, value in (kept | seconds).items():
            monkeypatch.setattr(download, name, value)

    return set_to


def pinned(commit):
    return f"hf://{REPO}@{commit}"


def one_line(call, *arguments, error=ReleaseError, **options):
    with pytest.raises(error) as caught:
        call(*arguments, **options)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 1000
    return text


# What is refused before anybody is asked


@pytest.mark.parametrize(
    "text",
    [
        "hf://tester/tiny@../x", "hf://tester/tiny@/x", "hf://tester/tiny@", "hf://tester/tiny@" + "x" * 10_000,
        "hf://tester/tiny@../../../../etc/x", "hf://tester/tiny@a\\b", "hf://tester/tiny@a%2fb", "hf://tester/tiny@a b",
        "hf://../tiny", "hf://tester/..", "hf://tester", "hf://", "hf://tester/tiny/config.json", "hf:///tmp/x",
        "hf://" + "x" * 10_000, "hf://evil.example/tester/tiny", "hf://me@evil.example/tiny", "https://evil.example/a/b",
        "file:///etc/passwd", "ftp://evil.example/a", "hf:tester/tiny", "HF://tester/tiny",
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_no_hub_has_is_refused_before_the_network(hub, commit, capsys, monkeypatch, text):
    for call in (zoo.load, sources.find, sources.inspect, sources.verify, pull):
        assert one_line(call, text, error=HubError)
    assert main(["verify", text]) == 1
    assert capsys.readouterr().err.count("\n") == 1
    monkeypatch.setenv("ZOO_XRAYSLAM_DEMO", text)
    with pytest.raises((HubError, FileNotFoundError)):
        zoo.load("xrayslam-demo")
    assert hub.log == []


# What a repository may hold


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "C:\\evil", "a\0b", "NUL", "\u202egnp.exe"])
def test_a_manifest_on_a_hub_that_lists_what_lies_outside(hub, folder, commit, name):
    data = json.loads((folder / manifest.MANIFEST).read_text())
    data["files"][name] = {"size": 1, "sha256": "0" * 64}
    evil = hub.store.plant(REPO, {manifest.MANIFEST: json.dumps(data).encode(), name: b"x"})
    for call in (pull, sources.find, sources.inspect):
        assert "is not a path inside the release" in one_line(call, pinned(evil))
    assert not [path for _, path, _ in hub.log if "/resolve/" in path and manifest.MANIFEST not in path]
    assert pull(pinned(commit)).source == pinned(commit)


@pytest.mark.parametrize(
    ("name", "to"),
    [(manifest.MANIFEST, "outside"), ("config.json", "outside"), ("tiny0.safetensors", "outside"), ("labels.json", "")],
)
def test_a_link_in_the_cache_that_leads_out_of_it(hub, commit, tmp_path, name, to):
    found = pull(pinned(commit))
    outside = tmp_path / "outside"
    outside.write_bytes((found.folder / name).read_bytes())
    (found.folder / name).unlink()
    (found.folder / name).symlink_to(tmp_path / to if to else name)
    for call in (pull, sources.find):
        assert "leads outside the cache; zoo.load(" in one_line(call, pinned(commit), error=IntegrityError)
    assert pull(pinned(commit), force_download=True) == found
    assert pull(pinned(commit)) == found
    assert outside.exists()


def test_a_file_that_vanished_from_the_cache_is_fetched_again(hub, commit, offline):
    found = pull(pinned(commit))
    for name in ("tiny0.safetensors", "config.json", manifest.MANIFEST):
        (found.folder / name).resolve().unlink()
        offline(True)
        assert one_line(pull, pinned(commit), error=HubError)
        offline(False)
        assert pull(pinned(commit)) == found


def test_extra_files_on_a_hub_are_listed_and_left_there(hub, commit):
    names = ("run.py", "m.pkl", "m.h5", "m.keras", "sub/m.so")
    there = pinned(hub.store.plant(REPO, dict.fromkeys(names, b"x")))
    found = sources.inspect(there)
    assert set(names) == {*found.unsafe} == {*found.extra} - {".gitattributes"}
    assert pull(there).source == there
    assert not [path for _, path, _ in hub.log if any(path.endswith(name) for name in names)]


@pytest.mark.parametrize("match", ["GET .*/config.json", "GET /cdn/.*/tiny0"])
def test_a_byte_that_the_network_altered(hub, commit, match):
    hub.faults.add(match, "corrupt")
    for _ in range(2):
        assert "force_download=True) downloads it anew" in one_line(pull, pinned(commit), error=IntegrityError)
    assert pull(pinned(commit), force_download=True) == pull(pinned(commit))


def test_a_card_on_a_hub_is_never_used_for_behaviour(hub, folder, commit):
    for card in (b"---\nmodel-index: [\n---\n", b"---\nbackbone: resnet50\nmodel-index: 3\n---\n", b"\xff\xfe\0"):
        there = pinned(hub.store.plant(REPO, {"README.md": card}))
        found = pull(there)
        assert (found.spec, found.decision) == (read_release(folder).spec, read_release(folder).decision)
        assert sources.inspect(there).name == "tiny-ensemble"
    huge = hub.store.plant(REPO, {"README.md": b"x" * (manifest.MAX_JSON_BYTES + 1)})
    assert not (pull(pinned(huge)).folder / "README.md").exists()


# What the network may do


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.timeout(300)
def test_faults_of_the_network_end_soon_and_leave_nothing_behind(hub, commit, limits, tmp_path, monkeypatch, place):
    from huggingface_hub import constants

    start = tmp_path / "start"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(start))
    if place == "weights":
        pull(pinned(commit), ["tiny1"])
    start.mkdir(exist_ok=True)
    limits(BYTES_PER_SECOND=10**9, **({"WEIGHTS_SECONDS": 0.4} if place == "weights" else {"SMALL_SECONDS": 1.0}))
    others = set(threading.enumerate())
    for i, (kind, options) in enumerate(FAULTS):
        # Each has a cache of its own: what goes on in the background of one must not wait for another.
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(shutil.copytree(start, tmp_path / f"{i}", symlinks=True)))
        fault = hub.faults.add(PLACES[place], kind, times=None, **options)
        # On a slow machine the time may be over before the fault has struck.
        while not fault.hits:
            assert hub.url in one_line(pull, pinned(commit)), (kind, options)
        hub.faults.clear()
    for thread in set(threading.enumerate()) - others:
        if "(_run)" in thread.name:
            thread.join(120)
            assert not thread.is_alive(), "a call of the client goes on for ever"
    limits()
    for i, fault in enumerate(FAULTS):
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / f"{i}"))
        assert pull(pinned(commit)).source == pinned(commit), fault


# What the disk may do

#: Gets argv[1] into a cache that cannot take it, then one that can.
FULL = """
import resource, subprocess, sys
from zoo.core.errors import ReleaseError
from zoo.hub.pull import pull

how, reference, place = sys.argv[1:]
if how == "limit":
    pull(reference, [])
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
else:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={how}", "none", place], check=True)
try:
    pull(reference)
    sys.exit("it should have failed")
except ReleaseError as error:
    print(type(error).__name__, error)
if how == "limit":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.getrlimit(resource.RLIMIT_FSIZE)[1],) * 2)
else:
    subprocess.run(["mount", "-o", "remount,size=20m", place], check=True)
print(pull(reference).source)
"""


def run_full(how, commit, env, *prefix):
    command = [*prefix, sys.executable, "-c", FULL, how, pinned(commit), env["HF_HOME"]]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    said, source = done.stdout.splitlines()
    assert said.startswith("HubError ")
    assert source == pinned(commit)
    return said


def test_a_file_that_cannot_be_written_whole(hub, commit, client_env):
    said = run_full("limit", commit, client_env(HF_HUB_DISABLE_XET="1"))
    assert "File too large" in said
    assert ".safetensors" in said


@pytest.mark.parametrize(
    ("size", "says"), [("16k", "no space is left on the disk"), ("200k", "its weights need 271,596 bytes")]
)
def test_a_disk_that_is_full(hub, commit, client_env, size, says):
    apart = ("unshare", "--mount", "--map-root-user")
    try:
        subprocess.run([*apart, "mount", "-t", "tmpfs", "none", "/mnt"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no small disk can be made here")
    assert says in run_full(size, commit, client_env(HF_HUB_DISABLE_XET="1"), *apart)


# What becomes of the token


@pytest.mark.parametrize("place", PLACES)
def test_a_token_goes_to_no_other_origin_and_into_no_text(hub, folder, token, limits, place):
    secret = hub.store.plant("tester/secret", folder, private=True)
    limits(BYTES_PER_SECOND=10**9, SMALL_SECONDS=5.0, WEIGHTS_SECONDS=5.0)
    hub.faults.add(PLACES[place], "redirect", times=None, location=f"{hub.cdn_url}/elsewhere")
    with pytest.raises(HubError) as caught:
        pull(f"hf://tester/secret@{secret}")
    assert token not in "".join(traceback.format_exception(caught.value))
    elsewhere = [user for _, path, user in hub.log if path == "/elsewhere"]
    # Where it asks for a small file, the client does not go elsewhere at all.
    assert bool(elsewhere) == (place != "manifest")
    assert not any(elsewhere), "without the token it is nobody who asks there"
    hub.faults.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pull(f"hf://tester/secret@{secret}")
    assert token not in repr(found)
    assert hub.leaks == []
