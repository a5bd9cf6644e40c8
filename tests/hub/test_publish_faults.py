"""Publishing over a network that fails: nothing half-written, nothing sent twice, nothing altered goes unseen."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from publishable import COMMIT, REPO, commits, metrics, names, publishable_release, requests, rewrite

from zoo.core.errors import HubError
from zoo.hub.publish import publish


@pytest.fixture
def folder(tmp_path):
    return publishable_release(tmp_path / "release")


def test_somebody_commits_meanwhile(hub, token, folder):
    publish(folder, REPO)
    rewrite(folder, "metrics.json", lambda _: metrics(1))
    hub.faults.add(COMMIT, "call", call=lambda: hub.store.plant(REPO, {"README.md": b"# Theirs\n"}))
    with pytest.raises(HubError, match=r"somebody committed meanwhile .*run again"):
        publish(folder, REPO)
    assert hub.store.read(REPO, "README.md") == b"# Theirs\n"
    assert json.loads(hub.store.read(REPO, "metrics.json")) == metrics()
    assert not publish(folder, REPO).nothing_new
    assert hub.store.read(REPO, "README.md").decode().endswith("# Theirs\n")


@pytest.mark.parametrize("kind", ["status", "drop"])
def test_a_commit_that_fails_leaves_nothing_half_written(hub, token, folder, kind):
    hub.faults.add(COMMIT, kind)
    with pytest.raises(HubError, match=r"nothing was changed there; what is uploaded is not sent twice") as error:
        publish(folder, REPO, tag="v1")
    assert "\n" not in str(error.value)
    assert hub.store.files(REPO) == []
    assert hub.store[REPO].tags == {}
    assert len(requests(hub, COMMIT)) == 1, "a commit is never sent blindly again"
    hub.log.clear()
    done = publish(folder, REPO, tag="v1")
    assert requests(hub, "PUT") == [], "the weights were up"
    assert hub.store[REPO].tags == {"v1": done.commit}


def test_a_commit_whose_answer_was_lost_is_found(hub, token, folder):
    hub.faults.add(COMMIT, "lose")
    done = publish(folder, REPO, tag="v1")
    assert not done.nothing_new
    assert commits(hub) == 1
    assert hub.store[REPO].tags == {"v1": done.commit}


def test_a_pull_request_whose_answer_was_lost_is_found(hub, token, folder):
    hub.store.create(REPO)
    hub.faults.add(COMMIT, "lose")
    done = publish(folder, REPO, pr=True)
    assert done.pr_url == f"{hub.url}/{REPO}/discussions/1"
    assert hub.store.files(REPO) == []


def test_a_tag_whose_answer_was_lost_is_found(hub, token, folder):
    hub.faults.add(r"POST .*/tag/", "lose")
    assert publish(folder, REPO, tag="v1").commit == hub.store[REPO].tags["v1"]
    hub.faults.add(r"POST .*/tag/", "status", status=500)
    with pytest.raises(HubError, match="is published, without the tag"):
        publish(folder, REPO, tag="v2")
    assert publish(folder, REPO, tag="v2").tag == "v2"


def _publish_in_a_process(folder, env):
    """Publishes in a process of its own, twice; says how each of them went."""
    code = """
import sys
from zoo.core.errors import HubError
from zoo.hub.publish import publish
for _ in range(2):
    try:
        print(publish(sys.argv[1], sys.argv[2]).nothing_new)
    except HubError as error:
        print(error)
"""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder), REPO], env=env, stdout=pipe, stderr=pipe, text=True
    )


def test_killed_between_upload_and_commit_it_goes_on_where_it_was(hub, token, folder, client_env):
    process = _publish_in_a_process(folder, client_env(HF_HUB_DISABLE_XET="1"))
    hub.faults.add(COMMIT, "call", call=process.kill)
    hub.faults.add(COMMIT, "drop")
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    assert hub.store.files(REPO) == []
    assert len(requests(hub, "PUT /upload/")) == 3
    hub.log.clear()
    publish(folder, REPO)
    assert requests(hub, "PUT") == []
    assert hub.store.files(REPO) == names(folder)


def test_by_xet_it_is_one_commit_too_and_looked_at_again(hub, token, folder, client_env):
    def alter():
        """A bit of what the weights are made of flips at the store: xet itself sees few of these."""
        for path in (hub.xet_store / "xet/xorbs/xorbs").glob("default.*"):
            data = np.fromfile(path, np.uint8)
            data[len(data) // 3] ^= 1
            path.chmod(0o644)
            data.tofile(path)

    hub.faults.add("HEAD .*/tiny0.safetensors", "call", call=alter, after=1)
    out, error = _publish_in_a_process(folder, client_env()).communicate(timeout=300)
    first, second = out.splitlines()
    assert first == "False", error
    assert "came back with other bytes than were sent" in second or "the transfer failed" in second, error
    assert commits(hub) == 1
    assert requests(hub, "PUT /upload") == []
    assert all(hub.store[REPO].at("main").tree[f"{name}.safetensors"].xet for name in ("tiny0", "tiny1", "parity"))


@pytest.mark.parametrize("path", ["/cdn/[0-9a-f]+/tiny1.safetensors", f"/{REPO}/resolve/[0-9a-f]+/metrics.json"])
def test_a_download_that_is_not_what_was_sent_is_found(hub, token, folder, path):
    hub.faults.add(f"GET {path}", "corrupt")
    name = path.rpartition("/")[2]
    with pytest.raises(HubError, match=f"{REPO}@[0-9a-f]{{40}}: {name} came back with other bytes than were sent"):
        publish(folder, REPO, tag="v1")
    assert hub.store[REPO].tags == {}, "nothing says that it is good"
    assert publish(folder, REPO, tag="v1").nothing_new
