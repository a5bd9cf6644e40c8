"""Publishing to a Hub: one commit or none, people's words kept, and what the Hub then holds is what was sent."""

import json

import pytest
from publishable import REPO, commits, metrics, names, publishable_release, requests, rewrite, writes

from zoo.core.errors import HubError, ReleaseError
from zoo.hub.publish import publish
from zoo.release import manifest
from zoo.release.read import read_release


@pytest.fixture
def folder(tmp_path):
    return publishable_release(tmp_path / "release")


def test_the_first_time_makes_a_private_repository_that_holds_the_release(hub, token, folder, tmp_path):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    done = publish(folder, REPO, tag="v1")
    assert (done.repo, done.tag, done.dry_run, done.nothing_new, done.pr_url) == (REPO, "v1", False, False, "")
    assert done.url == f"{hub.url}/{REPO}"
    repo = hub.store[REPO]
    assert repo.private
    assert commits(hub) == 1
    assert done.commit == repo.heads["main"] == repo.tags["v1"]
    assert hub.store.files(REPO) == names(folder) == [file.name for file in done.files]
    assert {file.action for file in done.files} == {"new"}
    assert hub.store.read(REPO, "README.md").decode() == done.card
    assert f"hf://{REPO}" in done.card
    # What is there is a release, also to one who has only that; and the release here is as it was.
    there = tmp_path / "there"
    there.mkdir()
    for file in done.files:
        (there / file.name).write_bytes(hub.store.read(REPO, file.name))
        assert (file.size, file.sha256) == ((there / file.name).stat().st_size, manifest.sha256(there / file.name))
    assert read_release(there).evaluation == read_release(folder).evaluation
    listing = manifest.read_json(there / manifest.MANIFEST)
    there_is = manifest.to_json(manifest.describe(there))
    assert listing["files"] == there_is, "the card that is listed is the one that is there"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


def test_the_second_time_changes_nothing(hub, token, folder):
    first = publish(folder, REPO, tag="v1")
    hub.log.clear()
    again = publish(folder, REPO, tag="v1")
    assert again.nothing_new
    assert again.commit == first.commit == hub.store[REPO].heads["main"]
    assert {file.action for file in again.files} == {"same"}
    assert writes(hub) == []
    assert requests(hub, "PUT") == []


def test_other_files_of_the_folder_stay_at_home(hub, token, folder):
    (folder / "notes.txt").write_text("patient 4711")
    publish(folder, REPO)
    assert "notes.txt" not in hub.store.files(REPO)


def test_a_public_one_is_asked_for_and_never_switched(hub, token, folder):
    publish(folder, REPO, private=False)
    assert not hub.store[REPO].private
    with pytest.raises(HubError, match="is public, and publishing does not make it private"):
        publish(folder, REPO, private=True)
    assert publish(folder, REPO).nothing_new
    assert not hub.store[REPO].private


def test_new_metrics_make_one_commit_of_what_changed(hub, token, folder):
    publish(folder, REPO, tag="v1")
    rewrite(folder, "metrics.json", lambda _: metrics(1))
    hub.log.clear()
    done = publish(folder, REPO, tag="v2", message="Better numbers")
    assert {f.name for f in done.files if f.action == "changed"} == {"README.md", "manifest.json", "metrics.json"}
    assert {f.action for f in done.files} == {"changed", "same"}
    assert commits(hub) == 2
    assert requests(hub, "PUT") == [], "the weights are up already"
    assert hub.store[REPO].commits[done.commit].title == "Better numbers"
    assert json.loads(hub.store.read(REPO, "metrics.json")) == metrics(1)
    assert set(hub.store[REPO].tags) == {"v1", "v2"}


def test_words_that_people_wrote_on_the_hub_stay(hub, token, folder):
    first = publish(folder, REPO)
    edited = first.card.replace("library_name:", "language: en\nlibrary_name:") + "\r\nOur hospital adds: beware.\r\n"
    hub.store.plant(REPO, {"README.md": edited.encode()})
    assert publish(folder, REPO).nothing_new, "an edited card alone is nothing to publish"
    rewrite(folder, "metrics.json", lambda _: metrics(1))
    done = publish(folder, REPO)
    there = hub.store.read(REPO, "README.md").decode()
    assert there == done.card
    assert there.endswith("\r\nOur hospital adds: beware.\r\n")
    assert "language: en\n" in there
    auc = f"{metrics(1)['macro']['auc']['value']:.3f}"
    assert auc in there
    assert auc not in edited
    # The manifest still lists the card as rendered: a reader can see that people edited it.
    listed = json.loads(hub.store.read(REPO, manifest.MANIFEST))["files"]["README.md"]["sha256"]
    assert listed != next(f.sha256 for f in done.files if f.name == "README.md")


def test_words_that_people_wrote_in_the_folder_go_to_a_new_repository(hub, token, folder):
    text = (folder / "README.md").read_text()
    (folder / "README.md").write_text(f"{text}\nOur own words.\n")
    done = publish(folder, REPO)
    assert done.card.endswith("\nOur own words.\n")
    assert f"hf://{REPO}" in done.card
    assert publish(folder, REPO).nothing_new


def _drop_second_member(folder):
    """What the release of a run without it would be, as far as publishing sees."""
    (folder / "tiny1.safetensors").unlink()
    rewrite(folder, "config.json", lambda data: data["ensemble"]["members"].pop() and None)
    rewrite(folder, manifest.MANIFEST, lambda data: data["parameters"].pop("tiny1") and None)


def test_members_that_are_no_more_go_in_the_same_commit_and_files_of_others_stay(hub, token, folder):
    publish(folder, REPO)
    hub.store.plant(REPO, {"paper.pdf": b"%PDF", "tiny9.safetensors": b"theirs"})
    before = commits(hub)
    _drop_second_member(folder)
    done = publish(folder, REPO)
    assert [f.name for f in done.files if f.action == "deleted"] == ["tiny1.safetensors"]
    assert commits(hub) == before + 1
    assert hub.store.files(REPO) == sorted([*names(folder), "paper.pdf", "tiny9.safetensors"])
    assert publish(folder, REPO).nothing_new


def test_a_licence_given_now_is_published_and_the_release_left_as_it_was(hub, token, folder):
    done = publish(folder, REPO, license="MIT")
    assert json.loads(hub.store.read(REPO, manifest.MANIFEST))["license"] == "mit"
    assert "license: mit" in done.card
    assert read_release(folder).license == "cc-by-4.0"
    assert publish(folder, REPO, license="mit").nothing_new
    with pytest.raises(ReleaseError, match="licence 'my terms': expected"):
        publish(folder, REPO, license="my terms")


def test_a_pull_request_leaves_main_alone(hub, token, other_token, login, folder):
    publish(folder, REPO, private=False)
    head = hub.store[REPO].heads["main"]
    rewrite(folder, "metrics.json", lambda _: metrics(1))
    login(other_token)
    done = publish(folder, REPO, pr=True)
    assert done.pr_url == f"{hub.url}/{REPO}/discussions/1"
    assert hub.store[REPO].heads["main"] == head
    assert json.loads(hub.store.read(REPO, "metrics.json", done.commit)) == metrics(1)
    again = publish(folder, REPO, pr=True)
    assert (again.nothing_new, again.pr_url, again.commit) == (True, done.pr_url, done.commit)
    assert list(hub.store[REPO].pulls) == [1]


def test_a_tag_is_not_moved(hub, token, folder):
    first = publish(folder, REPO, tag="v1")
    rewrite(folder, "metrics.json", lambda _: metrics(1))
    hub.log.clear()
    with pytest.raises(HubError, match=f"tag 'v1' exists at {first.commit[:7]} with other content; choose another"):
        publish(folder, REPO, tag="v1")
    assert writes(hub) == []
    assert requests(hub, "POST /tester") == [], "nothing was uploaded"
    second = publish(folder, REPO)
    with pytest.raises(HubError, match="choose another"):
        publish(folder, REPO, tag="v1")
    assert publish(folder, REPO, tag="v2").commit == second.commit
    assert hub.store[REPO].tags == {"v1": first.commit, "v2": second.commit}


def test_a_tag_stays_where_only_the_card_was_edited_since(hub, token, folder):
    first = publish(folder, REPO, tag="v1")
    hub.store.plant(REPO, {"README.md": (first.card + "\nMore.\n").encode()})
    assert publish(folder, REPO, tag="v1").nothing_new
    assert hub.store[REPO].tags == {"v1": first.commit}


def test_without_a_token_nothing_is_asked_and_all_is_shown(hub, folder):
    done = publish(folder, REPO, tag="v1")
    assert hub.log == []
    assert (done.dry_run, done.commit, done.nothing_new) == (True, "", False)
    assert "there is no token" in done.why_dry
    assert {file.action for file in done.files} == {"unknown"}
    assert [file.name for file in done.files] == names(folder)
    assert "license: cc-by-4.0" in done.card


def test_a_dry_run_says_what_would_change_and_changes_nothing(hub, token, folder):
    assert {file.action for file in publish(folder, REPO, dry_run=True).files} == {"new"}
    assert hub.store.get(REPO) is None
    real = publish(folder, REPO)
    assert publish(folder, REPO, dry_run=True).nothing_new
    rewrite(folder, "metrics.json", lambda _: metrics(1))
    hub.log.clear()
    dry = publish(folder, REPO, dry_run=True, tag="v1")
    assert (dry.dry_run, dry.why_dry, dry.commit) == (True, "it is a dry run", "")
    assert {f.name for f in dry.files if f.action == "changed"} == {"README.md", "manifest.json", "metrics.json"}
    assert writes(hub) == []
    assert hub.store[REPO].heads["main"] == real.commit
    done = publish(folder, REPO)
    assert (done.files, done.card) == (dry.files, dry.card), "a dry run shows exactly what is then sent"


def test_offline_a_dry_run_shows_what_it_can_and_publishing_says_so(hub, token, offline, folder):
    offline(True)
    assert {file.action for file in publish(folder, REPO, dry_run=True).files} == {"unknown"}
    with pytest.raises(HubError, match=r"the client is offline .* unset HF_HUB_OFFLINE"):
        publish(folder, REPO)
    assert hub.log == []
