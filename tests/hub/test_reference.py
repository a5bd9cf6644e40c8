"""What names a release on a Hub; every refusal comes before any network, so no server runs here."""

import pytest

from zoo.core.errors import HubError
from zoo.hub.reference import Reference, check_repo, check_revision, parse

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("text", "repo", "revision"),
    [
        ("hf://owner/repo", "owner/repo", "main"),
        ("hf://owner/repo@v1.0", "owner/repo", "v1.0"),
        ("hf://o-w_n.er/X-ray_2.0@exp/one", "o-w_n.er/X-ray_2.0", "exp/one"),
        ("hf://owner/repo@refs/pr/3", "owner/repo", "refs/pr/3"),
        (f"hf://owner/repo@{COMMIT}", "owner/repo", COMMIT),
    ],
)
def test_a_reference_is_read_and_written(text, repo, revision):
    reference = parse(text)
    assert reference == Reference(repo, revision)
    assert str(reference) == f"hf://{repo}@{revision}"
    assert parse(str(reference)) == reference


def test_only_a_whole_commit_is_pinned():
    assert Reference("o/n", COMMIT).pinned
    assert not any(Reference("o/n", r).pinned for r in ("main", COMMIT[:39], COMMIT.upper(), COMMIT + "0"))


@pytest.mark.parametrize(
    "repo",
    [
        "", "repo", "/repo", "owner/", "owner/repo/file", "owner//repo", "../x", "owner/..", "owner/a..b", "owner/a--b",
        "owner/repo.git", ".owner/repo", "owner/.repo", "owner/repo-", "owner/re po", "owner/repo\n", "owner/röntgen",
        "owner\\repo", "C:/x", "owner/" + "x" * 97, "x" * 10_000,
    ],
)  # fmt: skip
def test_what_no_repository_is_called(repo):
    with pytest.raises(HubError, match="'owner/name'"):
        check_repo(repo)
    with pytest.raises(HubError):
        parse(f"hf://{repo}@main")


@pytest.mark.parametrize(
    "revision",
    [
        "",
        "../x",
        "a/../b",
        "/x",
        "x/",
        "a//b",
        ".hidden",
        "-x",
        "a b",
        "a\n",
        "a\0",
        "C:\\x",
        "ä",
        "x" * 201,
        "x" * 10_000,
    ],
)
def test_what_no_revision_is_called(revision):
    with pytest.raises(HubError, match="a branch, a tag or a commit") as caught:
        check_revision(revision)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    with pytest.raises(HubError):
        parse(f"hf://owner/repo@{revision}")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("https://hub.example.org/owner/repo", "'hf://owner/repo'"),
        ("https://hub.example.org/owner/repo/tree/exp/one", "'hf://owner/repo@exp/one'"),
        ("http://127.0.0.1:8080/owner/repo/resolve/v1/config.json", "'hf://owner/repo@v1'"),
        (f"https://hub.example.org/owner/repo/commit/{COMMIT}", f"'hf://owner/repo@{COMMIT}'"),
        ("https://hub.example.org/datasets/owner/repo", "'hf://owner/repo@revision'"),
        ("https://hub.example.org", "'hf://owner/repo'"),
        ("https://[", "'hf://owner/repo'"),
        ("s3://bucket/key", "'hf://owner/repo'"),
        ("hf:owner/repo", "'hf://owner/repo'"),
        ("owner/repo", "'hf://owner/repo'"),
    ],
)
def test_another_scheme_is_answered_with_the_spelling_that_works(text, meant):
    with pytest.raises(HubError) as caught:
        parse(text)
    assert meant in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "https://tester:hf_0123456789abcdefghij@hub.example.org/owner/repo",
        "https://hub.example.org/owner/repo?token=hf_0123456789abcdefghij",
        "hf://tester:hf_0123456789abcdefghij@owner/repo",
        "hf://owner/repo@hf_0123456789abcdefghij x",
    ],
)
def test_a_token_in_it_is_not_repeated(text):
    with pytest.raises(HubError) as caught:
        parse(text)
    assert "0123456789" not in str(caught.value)
