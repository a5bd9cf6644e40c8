"""What is not published, found before anything is made or sent; one line that says what to do."""

import json

import pytest
from publishable import REPO, publishable_release, rewrite

from zoo.core.errors import HubError, IntegrityError, ReleaseError
from zoo.hub.publish import publish
from zoo.release import manifest


@pytest.fixture
def folder(tmp_path):
    return publishable_release(tmp_path / "release")


def test_a_release_says_all_that_it_lacks_at_once(hub, token, folder):
    rewrite(folder, "metrics.json", lambda data: data.clear())
    rewrite(folder, manifest.MANIFEST, lambda data: {**data, "license": "", "provenance": {"seed": 0}})
    with pytest.raises(
        ReleaseError, match=r"lacks a licence .*--license.*; the hash of its split .*; metrics"
    ) as error:
        publish(folder, REPO)
    assert "\n" not in str(error.value)
    with pytest.raises(ReleaseError, match="lacks the hash of its split") as error:
        publish(folder, REPO, license="mit", dry_run=True)
    assert "a licence" not in str(error.value)
    assert hub.log == []


def test_an_altered_release_is_not_published(hub, token, folder):
    (folder / "metrics.json").write_text((folder / "metrics.json").read_text().replace("0.", "1.", 1))
    with pytest.raises(IntegrityError, match="altered"):
        publish(folder, REPO)
    assert hub.log == []


@pytest.mark.parametrize("repo", ["tiny", "https://huggingface.co/tester/tiny", "tester/../tiny", "tester/tiny@v1"])
def test_names_that_are_no_repository(hub, token, folder, repo):
    with pytest.raises(HubError, match="a repository is 'owner/name'"):
        publish(folder, repo)
    assert hub.log == []


@pytest.mark.parametrize(
    ("tag", "says"), [("main", "is a branch there"), ("0" * 40, "reads as a commit"), ("a..b", "a revision is")]
)
def test_names_that_are_no_tags(hub, token, folder, tag, says):
    hub.store.create(REPO)
    with pytest.raises(HubError, match=says):
        publish(folder, REPO, tag=tag)
    assert hub.store.files(REPO) == []


def test_a_token_that_only_reads(hub, login, read_token, folder):
    login(read_token)
    with pytest.raises(HubError, match="the token of 'tester' can only read; make one that can write"):
        publish(folder, REPO)
    assert hub.store.get(REPO) is None


def test_a_token_that_nobody_knows_is_not_told(hub, login, folder):
    login("hf_secret_of_mine")
    with pytest.raises(HubError, match="the Hub refuses the token") as error:
        publish(folder, REPO)
    assert "secret" not in str(error.value)
    assert "\n" not in str(error.value)


def test_a_repository_of_somebody_else(hub, login, other_token, folder):
    login(other_token)
    with pytest.raises(HubError, match="'other' may not publish under 'tester': the owner must be other"):
        publish(folder, REPO)
    assert hub.store.get(REPO) is None


def test_a_repository_of_an_organisation(hub, token, folder):
    assert publish(folder, "clinic/tiny").url.endswith("/clinic/tiny")


def test_the_hub_has_the_last_word_on_permission(hub, token, folder):
    # A fine-grained token looks like one that writes until it does.
    hub.faults.add("POST /api/repos/create", "status", status=403)
    with pytest.raises(HubError, match="the token is not allowed to do this"):
        publish(folder, REPO)
    assert hub.store.get(REPO) is None


def test_a_pull_request_needs_a_repository_and_takes_no_tag(hub, token, folder):
    with pytest.raises(HubError, match="nothing to propose to"):
        publish(folder, REPO, pr=True)
    with pytest.raises(HubError, match="tag after the merge"):
        publish(folder, REPO, pr=True, tag="v1")
    assert hub.store.get(REPO) is None


def test_another_model_of_the_owner_is_not_overwritten(hub, token, folder):
    theirs = {"config.json": b'{"model_type": "bert"}', "README.md": b"# Theirs\n"}
    head = hub.store.plant(REPO, theirs)
    with pytest.raises(HubError, match=r"config\.json of its own, which no zoo release put there"):
        publish(folder, REPO)
    head = hub.store.plant(REPO, {"config.json": None, "manifest.json": b'{"name": "a web app"}'})
    with pytest.raises(HubError, match=r"its manifest.json is not one that this version may replace .*format_version"):
        publish(folder, REPO)
    assert hub.store[REPO].heads["main"] == head


def test_a_release_of_a_newer_version_is_not_overwritten(hub, token, folder):
    publish(folder, REPO)
    listing = json.loads(hub.store.read(REPO, manifest.MANIFEST))
    hub.store.plant(REPO, {manifest.MANIFEST: json.dumps({**listing, "format_version": 99}).encode()})
    with pytest.raises(HubError, match="99 is newer"):
        publish(folder, REPO)


@pytest.mark.parametrize("readme", [b"\xff\xfe\x00", b"---\n: [\n---\n", b"<!-- zoo:begin results -->\n"])
def test_a_card_that_cannot_be_edited_stays(hub, token, folder, readme):
    head = hub.store.plant(REPO, {"README.md": readme})
    with pytest.raises(HubError, match=r"publishing tester/tiny: the card there: README.md") as error:
        publish(folder, REPO)
    assert "\n" not in str(error.value)
    assert hub.store[REPO].heads["main"] == head


def test_a_card_that_the_hub_refuses_is_found_before_anything_is_made(hub, token, folder):
    with pytest.raises(HubError, match=r"the Hub refuses the card: .*license.*; correct the front matter"):
        publish(folder, REPO, license="my-own-terms")
    assert hub.store.get(REPO) is None
