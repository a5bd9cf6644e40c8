"""The Hub of the tests, through the real client: what the other tests here rely on."""

import hashlib
import subprocess
import sys
import urllib.error
import urllib.request
import warnings
from pathlib import Path

import pytest
from loopback_hub import serve
from loopback_hub.calls import additions, download, status

PLAIN = {"a/b/notes.txt": b"notes", "empty.txt": b"", "é ü#?%.txt": b"odd name"}
WEIGHTS = bytes(range(256)) * 400
GOOD_CARD = b"---\nlicense: apache-2.0\ntags: [x-ray]\n---\n# Model\n"


def test_files_come_back_as_they_were_sent(hub, token, api):
    from huggingface_hub import snapshot_download

    assert api.create_repo("tester/model", private=True).repo_id == "tester/model"
    files = {**PLAIN, "model.safetensors": WEIGHTS, "README.md": GOOD_CARD}
    made = api.create_commit("tester/model", additions(files), commit_message="first")
    assert hub.store.files("tester/model") == sorted(files)
    folder = Path(snapshot_download("tester/model", revision="main"))
    assert folder.name == made.oid
    (folder / ".gitattributes").unlink()
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == files

    info = api.model_info("tester/model", files_metadata=True)
    weights = next(s for s in info.siblings if s.rfilename == "model.safetensors")
    assert (weights.size, weights.lfs.sha256) == (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
    assert (info.private, info.sha) == (True, made.oid)
    assert [c.title for c in api.list_repo_commits("tester/model")] == ["first", "initial commit"]

    hub.log.clear()
    again = api.create_commit("tester/model", additions(files), commit_message="nothing new")
    assert again.oid == made.oid
    assert not [path for _, path, _ in hub.log if "/commit/" in path or "/upload/" in path]


def test_a_large_file_goes_up_in_parts(hub, token, api, monkeypatch):
    monkeypatch.setattr(hub, "part_size", 40_000)
    api.create_repo("tester/model")
    api.create_commit("tester/model", additions({"model.safetensors": WEIGHTS}), commit_message="weights")
    puts = [path.rsplit("/", 1)[-1] for method, path, _ in hub.log if method == "PUT"]
    assert puts == ["1", "2", "3"]
    assert hub.store.read("tester/model", "model.safetensors") == WEIGHTS


def test_a_listing_has_pages(hub, api, monkeypatch):
    monkeypatch.setattr(hub, "page_size", 2)
    hub.store.plant("tester/model", {**PLAIN, "model.safetensors": WEIGHTS})
    names = {file.path for file in api.list_repo_tree("tester/model", recursive=True)}
    assert names == {".gitattributes", "a", "a/b", *PLAIN, "model.safetensors"}
    found = api.get_paths_info("tester/model", ["a/b", "empty.txt", "none"])
    assert {info.path for info in found} == {"a/b", "empty.txt"}


def test_tags_and_branches_name_commits(hub, token, api):
    first = hub.store.plant("tester/model", {"a.txt": b"1"})
    api.create_tag("tester/model", tag="v1")
    assert status(api.create_tag, "tester/model", tag="v1") == 409
    api.create_tag("tester/model", tag="v1", exist_ok=True)
    api.create_branch("tester/model", branch="exp/one")
    api.create_commit("tester/model", additions({"a.txt": b"2"}), commit_message="on", revision="exp/one")
    assert (download("a.txt", "v1"), download("a.txt", "exp/one"), download("a.txt", first[:12])) == (b"1", b"2", b"1")
    refs = api.list_repo_refs("tester/model")
    assert [(tag.name, tag.target_commit) for tag in refs.tags] == [("v1", first)]
    assert {branch.name for branch in refs.branches} == {"main", "exp/one"}
    api.delete_tag("tester/model", tag="v1")
    assert not api.revision_exists("tester/model", "v1")
    assert status(api.create_tag, "tester/model", tag="../x") == 400


def test_a_commit_on_another_parent_changes_nothing(hub, token, api):
    old = hub.store.plant("tester/model", {"a.txt": b"1"})
    new = hub.store.plant("tester/model", {"a.txt": b"2"})
    change = {"commit_message": "late", "parent_commit": old}
    assert status(api.create_commit, "tester/model", additions({"a.txt": b"3"}), **change) == 412
    assert hub.store["tester/model"].heads["main"] == new


def test_a_stranger_proposes_and_the_owner_merges(hub, login, other_token, token, api):
    main = hub.store.plant("tester/model", {"a.txt": b"1"})
    login(other_token)
    assert status(api.create_commit, "tester/model", additions({"a.txt": b"2"}), commit_message="change") == 403
    pr = api.create_commit(
        "tester/model", additions({"model.safetensors": WEIGHTS}), commit_message="change", create_pr=True
    )
    assert (pr.pr_num, pr.pr_revision) == (1, "refs/pr/1")
    api.create_commit("tester/model", additions({"a.txt": b"3"}), commit_message="more", revision="refs/pr/1")
    assert hub.store["tester/model"].heads["main"] == main
    assert download("a.txt", "refs/pr/1") == b"3"
    assert [ref.ref for ref in api.list_repo_refs("tester/model", include_pull_requests=True).pull_requests] == [
        "refs/pr/1"
    ]
    login(token)
    api.merge_pull_request("tester/model", 1)
    assert download("model.safetensors") == WEIGHTS
    assert [d.status for d in api.get_repo_discussions("tester/model")] == ["merged"]


def test_a_token_may_what_its_user_and_role_may(hub, token, read_token, other_token, api, tmp_path):
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    api.create_repo("clinic/model", private=True)
    hub.store.plant("clinic/model", {"a.txt": b"1"})
    assert status(api.create_repo, "clinic/model") == 409
    for name, expected in ((read_token, 403), (other_token, 403), ("hf_unknown", 401)):
        assert status(api.create_repo, "clinic/second", token=name) == expected
    assert status(api.create_commit, "clinic/model", additions({"b": b""}), commit_message="b", token=read_token) == 403
    for stranger in (other_token, False):
        with pytest.raises(RepositoryNotFoundError):
            api.model_info("clinic/model", token=stranger)
    assert download("a.txt", repo="clinic/model", token=read_token) == b"1"
    assert api.whoami(token=read_token)["auth"]["accessToken"]["role"] == "read"

    api.update_repo_settings("clinic/model", private=False, gated="auto")
    assert api.model_info("clinic/model", token=False).gated == "auto"
    with pytest.raises(GatedRepoError):
        download("a.txt", repo="clinic/model", token=other_token, cache_dir=tmp_path)
    hub.store["clinic/model"].granted.add("other")
    assert download("a.txt", repo="clinic/model", token=other_token, cache_dir=tmp_path) == b"1"

    api.delete_repo("clinic/model")
    assert not api.repo_exists("clinic/model")


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ("license: made-up", '"license"'),
        ("license: mit\ntags: [1]", r'"tags\[0\]" must be a string'),
        ("license: mit\nmodel-index: 3", '"model-index" must be a list'),
        (
            "license: mit\nmodel-index: [{name: m, results: [{task: {type: t}, dataset: {type: d, name: D},"
            " metrics: [{type: auc}]}]}]",
            r'"model-index\[0\].results\[0\].metrics\[0\].value" is required',
        ),
        ("license: [", "bad YAML"),
    ],
)
def test_a_wrong_card_is_refused_before_any_upload(hub, token, api, metadata, complaint):
    api.create_repo("tester/model")
    card = f"---\n{metadata}\n---\n".encode()
    with pytest.raises(ValueError, match=complaint):
        api.create_commit("tester/model", additions({"README.md": card, "a.txt": b"1"}), commit_message="card")
    assert hub.store.files("tester/model") == []


def test_a_card_without_a_licence_is_only_warned_about(hub, token, api):
    api.create_repo("tester/model")
    with pytest.warns(UserWarning, match="license"):
        api.create_commit("tester/model", additions({"README.md": b"---\ntags: [a]\n---\n"}), commit_message="card")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        api.create_commit("tester/model", additions({"README.md": GOOD_CARD}), commit_message="card")


def test_what_no_client_sends_can_be_planted(hub, api, tmp_path):
    hub.store.plant("other/model", {"../x": b"1", "/etc/x": b"2", "C:\\x": b"3"}, revision="../../x")
    names = {file.rfilename for file in api.model_info("other/model", revision="../../x").siblings}
    assert names == {".gitattributes", "../x", "/etc/x", "C:\\x"}
    (tmp_path / "release" / "sub").mkdir(parents=True)
    (tmp_path / "release" / "sub" / "f").write_bytes(b"f")
    hub.store.plant("other/second", tmp_path / "release")
    assert hub.store.files("other/second") == ["sub/f"]


def test_a_server_of_its_own_starts_empty_and_ends(tmp_path):
    with serve(tmp_path / "hub") as own:
        own.store.plant("a/b", {"f": b"1"})
        url = f"{own.url}/a/b/resolve/main/f"
        assert urllib.request.urlopen(url).read() == b"1"
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url)


THROUGH_XET = """
import hashlib, sys
from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download
from pathlib import Path

weights = bytes(range(256)) * 4000
if sys.argv[1] == "up":
    files = {"model.safetensors": weights, "a.txt": b"1"}
    HfApi().create_repo("tester/model")
    HfApi().create_commit("tester/model", [CommitOperationAdd(*f) for f in files.items()], commit_message="by xet")
else:
    assert Path(snapshot_download("tester/model"), "model.safetensors").read_bytes() == weights
"""


def test_large_files_go_through_xet_too(hub, token, client_env):
    pytest.importorskip("hf_xet")
    for way in ("up", "down"):
        subprocess.run([sys.executable, "-c", THROUGH_XET, way], env=client_env(), check=True)
    paths = [path for _, path, _ in hub.log]
    assert any("xet-write-token" in path for path in paths)
    assert any("xet-read-token" in path for path in paths)
    assert not [path for path in paths if path.startswith(("/cdn/", "/upload/")) or "/lfs/" in path]
    entry = hub.store["tester/model"].at("main").tree["model.safetensors"]
    assert (entry.size, len(entry.xet)) == (1_024_000, 64)
