"""Whatever goes wrong between the client and a Hub is one line: what, where, why, what to do; never a token."""

import errno
import os
import subprocess
import sys

import pytest
from huggingface_hub import HfApi, errors, hf_hub_download, snapshot_download

from zoo.core.errors import HubError, IntegrityError
from zoo.hub.hub_errors import endpoint, explain, hub_errors, status

REPO = "tester/tiny"


def _said(call, **options):
    """The line that a failing call of the client becomes."""
    with pytest.raises(HubError) as caught, hub_errors("looking at it"):
        call(**options)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(f"looking at it, on {endpoint()}: ")
    assert "; " in line, "it says what to do"
    assert isinstance(caught.value.__cause__, Exception)
    return line


@pytest.mark.parametrize(
    ("code", "name", "says"),
    [
        (400, "", "refuses the request (A fault that the test ordered); correct what it names"),
        (401, "", "the Hub refuses the token (A fault that the test ordered); log in with 'hf auth login'"),
        (403, "", "not allowed to do this (A fault that the test ordered); use one with the right"),
        (403, "GatedRepo", "access to the repository is restricted; ask for access"),
        (404, "RepoNotFound", "no such repository, or it is private"),
        (404, "RevisionNotFound", "no such revision; name a branch, a tag or a commit"),
        (404, "EntryNotFound", "a file is not in the repository at this revision"),
        (404, "", "nothing of that address; check the spelling and HF_ENDPOINT"),
        (409, "", "or somebody is changing it (A fault that the test ordered); look at the repository"),
        (412, "", "somebody committed meanwhile (A fault that the test ordered); run again"),
        (413, "", "refuses the size (A fault that the test ordered); publish smaller files"),
        (418, "", "answers with status 418"),
        (500, "", "has a fault (status 500); run again later"),
        (503, "", "has a fault (status 503); run again later"),
    ],
)
def test_an_answer_that_says_no(hub, token, code, name, says):
    hub.faults.add("GET /api/models", "status", status=code, code=name)
    assert says in _said(HfApi().model_info, repo_id=REPO)


def test_too_many_requests_say_when_to_come_again(hub, token):
    hub.faults.add("GET /api/models", "status", times=2, status=429, retry_after=17)
    assert _said(HfApi().model_info, repo_id=REPO).endswith("; run again in 17 s")
    hub.faults.clear()
    hub.faults.add("GET /api/models", "status", status=429)
    assert _said(HfApi().model_info, repo_id=REPO).endswith("; wait some minutes and run again")


@pytest.mark.parametrize(
    ("kind", "says"), [("drop", "cannot be reached, or broke off"), ("html", "not one that a Hub")]
)
def test_no_answer_or_one_of_somebody_else(hub, kind, says):
    hub.faults.add("GET /api/models", kind)
    assert says in _said(HfApi().model_info, repo_id=REPO)


def test_nobody_listens(hub):
    with hub.down():
        assert "cannot be reached, or broke off (ConnectError" in _said(HfApi().model_info, repo_id=REPO)


def test_offline_and_cache(hub, offline):
    offline(True)
    assert "the client is offline" in _said(HfApi().model_info, repo_id=REPO)
    assert "the client is offline" in _said(hf_hub_download, repo_id=REPO, filename="x")
    assert "unset HF_HUB_OFFLINE" in _said(snapshot_download, repo_id=REPO)


def test_the_reason_is_taken_from_under_what_the_client_wraps_it_in(hub, token, tmp_path):
    hub.store.plant(REPO, {"x.bin": b"12345"})
    api = HfApi()
    assert "no such revision" in _said(api.hf_hub_download, repo_id=REPO, filename="x.bin", revision="v9")
    hub.faults.add("PUT /upload", "status", status=403)
    (tmp_path / "y.bin").write_bytes(b"67890")
    options = {"path_or_fileobj": tmp_path / "y.bin", "path_in_repo": "y.bin", "repo_id": REPO}
    assert "the token is not allowed" in _said(api.upload_file, **options)


def test_no_token_and_a_wrong_one(hub, login):
    assert "there is no token; log in with 'hf auth login' or set HF_TOKEN" in _said(HfApi().whoami)
    hub.faults.add("GET /api/models", "status", status=401)
    assert "there is no token; log in" in _said(HfApi().model_info, repo_id=REPO)
    login("hf_wrongwrongwrong")
    said = _said(HfApi().whoami)
    assert "the Hub refuses the token" in said
    assert "wrongwrong" not in said


def test_a_name_that_no_hub_has(hub):
    assert "correct the name" in _said(HfApi().model_info, repo_id="a/b/c")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/cache/x"),
            "no space is left on the disk at /cache/x; free",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/cache/x"), "may not write at /cache/x; set HF_HOME"),
        (OSError("Consistency check failed: file should be of size 5"), "another length than announced; run again"),
        (OSError(errno.EIO, "I/O error"), "I/O error; run again; if it stays"),
        (TimeoutError("timed out"), "cannot be reached, or broke off (TimeoutError: timed out)"),
        (errors.LocalEntryNotFoundError("x"), "not, or not wholly, in the local cache; run once with the network"),
        (errors.FileMetadataError("x"), "the answer is not one that a Hub gives"),
        (
            ValueError("Invalid metadata in README.md.\n- bad"),
            "the card is refused: Invalid metadata in README.md. - bad",
        ),
        (KeyError("sha"), "not one that a Hub gives (KeyError: 'sha'); check HF_ENDPOINT"),
        (RuntimeError("Data processing error"), "the transfer failed (RuntimeError: Data processing error); run again"),
        (errors.OIDCError("no id token"), "no token from OIDC"),
    ],
)
def test_what_the_system_or_the_client_says(hub, error, says):
    assert says in _said(_raiser(error))


def _raiser(error):
    def call():
        raise error

    return call


def test_our_own_errors_pass_and_all_others_too(hub):
    for error in (HubError("x"), IntegrityError("y"), KeyboardInterrupt(), MemoryError()):
        with pytest.raises(type(error)) as caught, hub_errors("looking at it"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    "text",
    [
        "token hf_tester_may_write is bad",
        "Authorization: Bearer abc.def-123",
        "see http://user:pass123@host/x?X-Signature=s3cret&x=1",
        "line\nwith\x1b[31m controls\r\n" + "and more " * 200,
    ],
)
def test_what_a_server_says_is_cut_and_kept_from_telling_secrets(hub, token, text):
    line = str(explain(OSError(text), "looking at it"))
    for secret in ("hf_tester", "abc.def", "pass123", "s3cret", "\n", "\x1b"):
        assert secret not in line
    assert len(line) < 500


def test_the_status_of_an_answer(hub, token):
    with pytest.raises(errors.RepositoryNotFoundError) as caught:
        HfApi().model_info(REPO)
    assert status(caught.value) == 404
    assert status(OSError("x")) == 0


@pytest.mark.parametrize(
    "address", ["http://[bad", "http://127.0.0.1:99999", "nonsense", "http://me:pass123@127.0.0.1:9"]
)
def test_an_endpoint_that_is_none(client_env, address):
    code = (
        "from zoo.hub.hub_errors import hub_errors\n"
        "try:\n"
        "    with hub_errors('looking at it'):\n"
        "        from huggingface_hub import HfApi\n"
        "        HfApi().model_info('tester/tiny')\n"
        "except ValueError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=client_env(HF_ENDPOINT=address), capture_output=True, text=True, timeout=120)
    # The client prints a line of its own before.
    line = done.stdout.splitlines()[-1]
    assert line.startswith("HubError looking at it, on "), done.stderr
    assert "HF_ENDPOINT" in line
    assert "pass123" not in line
