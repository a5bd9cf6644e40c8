"""A release from a Hub, by the real client, from a server on this machine."""

import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from builders import tiny_release

import zoo
from zoo.core.errors import HubError, IntegrityError, UnknownNameError
from zoo.hub import download
from zoo.hub.pull import listing, pull
from zoo.hub.reference import parse
from zoo.names import sources
from zoo.release import manifest
from zoo.release.read import read_release
from zoo.release.trained_on import FILE, TrainedOn

REPO = "tester/tiny"

#: In a fresh process, which needs no Keras: gets argv[1] into the cache and prints the folder.
OBTAIN = """
import sys
from zoo.hub.pull import obtain
from zoo.hub.reference import parse
print(obtain(parse(sys.argv[1]))[0])
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_release(tmp_path_factory.mktemp("releases") / "tiny")


@pytest.fixture(scope="module")
def other(folder, tmp_path_factory):
    """Another release with the names of the first one."""
    copy = Path(shutil.copytree(folder, tmp_path_factory.mktemp("releases") / "other"))
    for name in ("labels", "decision", "metrics"):
        (copy / f"{name}.json").write_text((copy / f"{name}.json").read_text("utf-8") + "\n", "utf-8")
    listing = manifest.read_json(copy / manifest.MANIFEST)
    manifest.write_json(copy / manifest.MANIFEST, {**listing, "files": manifest.to_json(manifest.describe(copy))})
    return copy


@pytest.fixture
def commit(hub, folder):
    return hub.store.plant(REPO, folder)


@pytest.fixture
def quick(monkeypatch):
    """Limits of time that a test can wait for."""
    monkeypatch.setattr(download, "SMALL_SECONDS", 1.0)
    monkeypatch.setattr(download, "WEIGHTS_SECONDS", 1.0)
    monkeypatch.setattr(download, "BYTES_PER_SECOND", 10**9)


@pytest.fixture
def unpinned():
    """For tests of something else than the word on an unpinned reference."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "hf://.* is not pinned")
        yield


def pinned(commit):
    return f"hf://{REPO}@{commit}"


def asked(hub, text=""):
    """The requests so far that have a text in them; then forgotten."""
    paths = [f"{method} {path}" for method, path, _ in hub.log if text in path]
    hub.log.clear()
    return paths


def weights(found):
    return sorted(p.name for p in found.folder.glob("tiny*.safetensors"))


def obtain(reference, env, **options):
    return subprocess.Popen(
        [sys.executable, "-c", OBTAIN, reference], env=env, stdout=-1, stderr=-1, text=True, **options
    )


def finish(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return Path(out.strip())


# What is fetched


def test_a_branch_a_tag_a_pull_request_and_a_commit_are_found(hub, token, folder, other, commit, unpinned):
    from huggingface_hub import CommitOperationAdd, HfApi

    HfApi().create_tag(REPO, tag="v1", revision=commit)
    changed = [CommitOperationAdd("notes.txt", b"proposed")]
    proposed = HfApi().create_commit(REPO, changed, commit_message="notes", create_pr=True)
    newer = hub.store.plant(REPO, other)
    expected = {"main": newer, "v1": commit, commit: commit, proposed.pr_revision: proposed.oid, commit[:8]: commit}
    for revision, at in expected.items():
        found = pull(f"hf://{REPO}@{revision}")
        assert found.source == pinned(at)
        assert found.manifest_sha256 == read_release(other if at == newer else folder).manifest_sha256
    assert listing(parse(f"hf://{REPO}@v1"))[0] == commit


def test_what_is_loaded_is_what_was_released(hub, folder, commit):
    from_hub, local = zoo.load(pinned(commit)), zoo.load(folder)
    films = np.random.default_rng(0).integers(0, 256, (3, 40, 40), dtype=np.uint8)
    np.testing.assert_array_equal(from_hub.predict(films), local.predict(films))
    assert from_hub.source == pinned(commit)


def test_one_member_is_downloaded_alone(hub, commit, unpinned):
    found = pull(pinned(commit), ["tiny0"])
    assert weights(found) == ["tiny0.safetensors"]
    assert asked(hub, "tiny1.safetensors") == []
    assert weights(pull(pinned(commit))) == ["tiny0.safetensors", "tiny1.safetensors"]
    assert asked(hub, "tiny0.safetensors") == []


def test_the_record_of_its_images_comes_with_it(hub, tmp_path):
    folder = tiny_release(tmp_path / "tiny", members=1, trained_on=TrainedOn.of(["ab" * 32], ["cd" * 32, "ef" * 32]))
    commit = hub.store.plant(REPO, folder)
    found = pull(pinned(commit))
    assert str(found.trained_on) == "training part 1 image, validation part 2"
    (found.folder / FILE).unlink()
    assert str(pull(pinned(commit)).trained_on) == "training part 1 image, validation part 2"


def test_an_unknown_member_is_said_before_weights_are_fetched(hub, commit, unpinned):
    with pytest.raises(UnknownNameError, match="did you mean 'tiny"):
        pull(f"hf://{REPO}", ["tinyO"])
    assert [path for path in asked(hub, "/cdn/") if "/parity" not in path] == []


def test_files_that_the_manifest_does_not_list_are_left_there(hub, commit, unpinned):
    extra = {"evil.pkl": b"x", "setup.py": b"raise SystemExit", "tiny9.safetensors": b"x", "a/b.json": b"{}"}
    hub.store.plant(REPO, extra)
    found = pull(f"hf://{REPO}")
    assert not {p.name for p in found.folder.rglob("*")} & {"evil.pkl", "setup.py", "tiny9.safetensors", "b.json"}
    assert [p for name in ("evil", "setup.py", "tiny9", "b.json") for p in asked(hub, name)] == []


def test_a_card_that_people_edited_or_deleted_is_no_fault(hub, folder, commit):
    edited = hub.store.plant(REPO, {"README.md": b"# another, and longer than it was" * 100})
    assert (pull(pinned(edited)).folder / "README.md").read_text("utf-8").startswith("# another")
    assert not (pull(pinned(hub.store.plant(REPO, {"README.md": None}))).folder / "README.md").exists()


def test_an_unpinned_reference_says_which_commit_it_took(hub, commit):
    with pytest.warns(UserWarning, match=rf"hf://{REPO}@main is not pinned.*hf://{REPO}@{commit}") as caught:
        zoo.load(f"hf://{REPO}")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zoo.load(pinned(commit))


def test_a_branch_that_moves_meanwhile_mixes_nothing(hub, folder, other, commit, unpinned):
    hub.faults.add("GET .*/labels.json", "call", call=lambda: hub.store.plant(REPO, other))
    found = pull(f"hf://{REPO}")
    assert found.source == pinned(commit)
    assert found.manifest_sha256 == read_release(folder).manifest_sha256
    assert all(commit in path for path in asked(hub, "/resolve/"))
    assert pull(f"hf://{REPO}").manifest_sha256 == read_release(other).manifest_sha256


# Without the network


def test_a_pinned_release_in_the_cache_makes_no_request(hub, commit):
    first = pull(pinned(commit))
    asked(hub)
    assert pull(pinned(commit)) == first
    assert pull(pinned(commit), ["tiny1"]) == first
    assert asked(hub) == []


def test_offline_the_cache_serves_and_says_what_it_lacks(hub, commit, offline, unpinned):
    offline(True)
    with pytest.raises(HubError, match=r"HF_HUB_OFFLINE.*the cache has no copy"):
        pull(f"hf://{REPO}")
    offline(False)
    pull(f"hf://{REPO}", ["tiny0"])
    offline(True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "hf://.* is not pinned")
        assert pull(f"hf://{REPO}", ["tiny0"]).source == pinned(commit)
    for reference in (f"hf://{REPO}", pinned(commit)):
        with pytest.raises(HubError, match=r"the cache is incomplete: it lacks 'tiny1\.safetensors'; connect once"):
            pull(reference)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE"):
        pull(pinned(commit), ["tiny0"], force_download=True)


@pytest.mark.parametrize("fault", ["drop", "status", "html"])
def test_a_hub_that_does_not_answer_is_warned_of_and_the_cache_serves(hub, commit, fault, unpinned):
    hub.faults.add("/api/", fault, times=1)
    with pytest.raises(HubError, match="the cache has no copy of it"):
        pull(f"hf://{REPO}")
    pull(f"hf://{REPO}")
    hub.faults.add(".", fault, times=None)
    with pytest.warns(UserWarning, match="taking what the cache has"):
        assert pull(f"hf://{REPO}").source == pinned(commit)


@pytest.mark.parametrize("setting", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
def test_the_environment_of_a_fresh_process_is_respected(commit, client_env, unpinned, setting):
    found = pull(f"hf://{REPO}")
    cache = found.folder.parents[2]
    assert finish(obtain(f"hf://{REPO}", client_env(HF_HUB_CACHE=str(cache), **setting))) == found.folder
    empty = obtain(pinned(commit), client_env(**setting))
    message = empty.communicate(timeout=60)[1].strip().splitlines()[-1]
    assert message.startswith("zoo.core.errors.HubError: looking up")
    assert "the cache has no copy of it" in message


# What goes wrong


def test_a_damaged_file_in_the_cache_is_refused_until_a_new_one_is_asked_for(hub, commit):
    found = pull(pinned(commit))
    for name in ("tiny1.safetensors", "config.json", "manifest.json"):
        blob = (found.folder / name).resolve()
        good = blob.read_bytes()
        blob.write_bytes(good[:9] + bytes([good[9] ^ 1]) + good[10:])
        for _ in range(2):
            with pytest.raises(IntegrityError, match=rf"{name}.*zoo\.load\('hf://.*{commit}', force_download=True\)"):
                pull(pinned(commit), manifest_sha256=found.manifest_sha256)
        assert blob.read_bytes() != good
        assert pull(pinned(commit), force_download=True) == found
        assert blob.read_bytes() == good


def test_another_manifest_than_the_one_asked_for_is_refused(hub, commit):
    with pytest.raises(IntegrityError, match="which is pinned"):
        pull(pinned(commit), manifest_sha256="0" * 64)
    assert asked(hub, "config.json") == []


def test_what_is_no_release_is_refused_before_a_download(hub):
    hub.store.plant("tester/pickles", {"model.pkl": b"x", "old.h5": b"x", "README.md": b"# x"})
    with pytest.raises(HubError, match=r"only unsafe formats \('model\.pkl', 'old\.h5'\).*no fallback"):
        pull("hf://tester/pickles")
    hub.store.plant("tester/else", {"model.safetensors": b"x", "config.json": b"{}"})
    with pytest.raises(HubError, match=r"no zoo release: it has no manifest\.json"):
        pull("hf://tester/else")
    hub.store.plant("tester/odd", {"a\n\x1b[2Jb": b"x"})
    with pytest.raises(HubError) as caught:
        pull("hf://tester/odd")
    assert str(caught.value).isprintable()
    assert asked(hub, "/resolve/") == []


def test_weights_that_no_disk_here_can_hold_are_not_begun(hub, commit, monkeypatch):
    from huggingface_hub import constants

    usage = shutil.disk_usage(Path(constants.HF_HUB_CACHE).parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=200_000))
    with pytest.raises(HubError, match=r"need 271,596 bytes, 200,000 are free in .*HF_HOME"):
        pull(pinned(commit))
    assert asked(hub, "/tiny0.safetensors") == []


def test_a_file_that_cannot_be_the_manifests_is_not_downloaded(hub, folder, commit):
    large = hub.store.plant(REPO, {"tiny0.safetensors": bytes(200_000)})
    with pytest.raises(IntegrityError, match=r"200,000 bytes there.*not downloaded"):
        pull(pinned(large))
    gone = hub.store.plant(REPO, {"tiny0.safetensors": None})
    with pytest.raises(IntegrityError, match=r"'tiny0\.safetensors' is not there"):
        pull(pinned(gone))
    assert asked(hub, "tiny0.safetensors") == []
    assert pull(pinned(gone), ["tiny1"]).source == pinned(gone)
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    with pytest.raises(IntegrityError, match="git-lfs pointer"):
        pull(pinned(hub.store.plant(REPO, {"tiny0.safetensors": pointer})))
    huge = hub.store.plant(REPO, {"manifest.json": b" " * 5_000_000})
    with pytest.raises(HubError, match=r"manifest\.json.*5,000,000 bytes"):
        pull(pinned(huge))


def test_who_may_not_see_it_is_told_so_and_no_token_is_shown(hub, folder, login, other_token):
    commit = hub.store.plant("tester/secret", folder, private=True)
    with pytest.raises(HubError, match=r"hf://tester/secret.*no such repository, or it is private.*log in"):
        pull("hf://tester/secret")
    login(other_token)
    with pytest.raises(HubError, match="private"):
        pull("hf://tester/secret")
    login("hf_wrong_0123456789abcdef")
    with pytest.raises(HubError, match="refuses the token") as caught:
        pull("hf://tester/secret")
    assert "0123456789" not in str(caught.value)
    login("hf_tester_may_read")
    assert pull(f"hf://tester/secret@{commit}").source.endswith(commit)


@pytest.mark.parametrize(
    ("text", "said"), [("hf://tester/none", "no such repository"), (f"hf://{REPO}@v9", "no such rev")]
)
def test_what_is_not_there_is_one_line(hub, commit, text, said):
    with pytest.raises(HubError, match=said) as caught:
        sources.find(text)
    assert "\n" not in str(caught.value)
    assert hub.url in str(caught.value)


@pytest.mark.parametrize("match", ["/api/models", "GET .*/config.json", "GET /cdn/.*/tiny0"])
def test_a_slow_drip_ends_and_leaves_nothing_behind(hub, commit, quick, monkeypatch, match):
    hub.faults.add(match, "drip", rate=5)
    with pytest.raises(HubError, match="not done in 1 s"):
        pull(pinned(commit))
    hub.faults.clear()
    monkeypatch.setattr(download, "SMALL_SECONDS", 60.0)
    monkeypatch.setattr(download, "WEIGHTS_SECONDS", 60.0)
    assert pull(pinned(commit)).source == pinned(commit)


# Other caches, other processes


def test_a_cache_without_links_can_be_used_and_repaired(hub, folder, commit, client_env, monkeypatch):
    from huggingface_hub import constants

    env = client_env(HF_HUB_DISABLE_SYMLINKS="1", HF_HUB_DISABLE_XET="1")
    at = finish(obtain(pinned(commit), env))
    assert not any(p.is_symlink() for p in at.iterdir())
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(Path(env["HF_HOME"]) / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    (at / "tiny0.safetensors").write_bytes(bytes((at / "tiny0.safetensors").stat().st_size))
    with pytest.raises(IntegrityError, match="force_download"):
        pull(pinned(commit))
    assert pull(pinned(commit), force_download=True).folder == at


def test_xet_and_the_files_that_repositories_share(hub, folder, token, client_env, monkeypatch):
    from huggingface_hub import constants

    env = client_env()
    send = "import sys; from huggingface_hub import HfApi; a = HfApi(); a.create_repo(sys.argv[1]); "
    send += "print(a.upload_folder(repo_id=sys.argv[1], folder_path=sys.argv[2]).oid)"
    sent = subprocess.run(
        [sys.executable, "-c", send, REPO, folder], env=env, capture_output=True, text=True, check=True
    )
    commit = sent.stdout.strip()
    hub.log.clear()
    at = finish(obtain(pinned(commit), env))
    assert asked(hub, "xet-read-token")
    assert (at / "tiny0.safetensors").resolve().is_relative_to(at.parents[2])
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(at.parents[2]))
    assert pull(pinned(commit)).folder == at
    assert asked(hub) == []


def test_a_cache_that_cannot_be_written(hub, commit, client_env):
    """A process without a superuser's rights reads what is there, and says in one line that it cannot add to it."""
    newer = hub.store.plant(REPO, {"README.md": b"# newer"})
    code = """
        import os, sys
        from pathlib import Path
        from zoo.core.errors import HubError
        from zoo.hub.pull import obtain
        from zoo.hub.reference import Reference

        repo, commit, newer = sys.argv[1:]
        folder, _ = obtain(Reference(repo, commit))
        top = Path(os.environ["HF_HOME"])
        for path in (top, *top.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o555 if path.is_dir() else 0o444)
        os.geteuid() or os.seteuid(65534)
        assert obtain(Reference(repo, commit))[0] == folder
        try:
            obtain(Reference(repo, newer))
        except HubError as error:
            print(error)
    """
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o755)
        env = client_env(HF_HUB_DISABLE_XET="1", HF_HOME=top)
        command = [sys.executable, "-c", textwrap.dedent(code), REPO, commit, newer]
        out = subprocess.run(command, env=env, capture_output=True, text=True)
        for path in Path(top).rglob("*"):
            path.chmod(0o755)
    assert out.returncode == 0, out.stderr
    assert "this user may not write" in out.stdout


def test_two_processes_at_once(hub, commit, client_env):
    hub.faults.add("GET /cdn/", "delay", times=2, seconds=0.5)
    env = client_env(HF_HUB_DISABLE_XET="1")
    both = [obtain(f"hf://{REPO}", env) for _ in range(2)]
    assert finish(both[0]) == finish(both[1])


def test_a_killed_download_is_no_harm_to_the_next(hub, commit, client_env, monkeypatch):
    from huggingface_hub import constants

    hub.faults.add("GET /cdn/.*/tiny0", "drip", rate=5)
    env = client_env(HF_HUB_DISABLE_XET="1")
    process = obtain(pinned(commit), env)
    deadline = time.monotonic() + 60
    while not any("/tiny0" in path for _, path, _ in hub.log if "/cdn/" in path) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    hub.faults.clear()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(Path(env["HF_HOME"]) / "hub"))
    assert pull(pinned(commit)).source == pinned(commit)
