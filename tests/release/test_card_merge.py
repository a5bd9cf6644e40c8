"""A card on the Hub that people edited keeps their words; only our blocks and keys are brought up to date."""

import re

import pytest
import yaml
from builders import tiny_spec
from finished_run import finished_run

from zoo.core.errors import HubError
from zoo.release import card


def _block(text, name):
    return re.search(rf"<!-- zoo:begin {name} -->\n(.*?)<!-- zoo:end {name} -->", text, re.DOTALL)[1]


def _front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


@pytest.fixture(scope="module")
def rendered():
    return card.render(tiny_spec(), license="mit", repo="clinic/chest", **finished_run(tiny_spec()))


@pytest.fixture(scope="module")
def earlier():
    """An older card of the same model."""
    return card.render(tiny_spec(), None, provenance={"seed": 3}, license="apache-2.0")


def test_merging_a_card_with_itself_changes_nothing(rendered):
    assert card.merge(rendered, rendered) == rendered


def test_words_around_our_blocks_stay_and_removed_blocks_stay_away(rendered, earlier):
    start, stop = earlier.index("<!-- zoo:begin speed"), earlier.index("<!-- zoo:begin environment")
    edited = earlier[:start] + "Jane measured 5 films a second.\n\n" + earlier[stop:] + "\n## Thanks\n\nTo all.\n"
    edited = edited.replace("# tiny-ensemble", "# The chest model of our clinic")
    merged = card.merge(rendered, edited)
    assert "# The chest model of our clinic" in merged
    assert "Jane measured 5 films a second.\n" in merged
    assert merged.endswith("\n## Thanks\n\nTo all.\n")
    assert "zoo:begin speed" not in merged
    for name in ("results", "use", "data", "calibration"):
        assert _block(merged, name) == _block(rendered, name)
    assert card.merge(rendered, merged) == merged


def test_a_card_without_our_blocks_keeps_its_body(rendered):
    body = "# My own words\n\n| a | b |\n"
    merged = card.merge(rendered, body)
    assert merged.split("---\n", 2)[2] == body
    assert _front_matter(merged) == _front_matter(rendered)
    assert card.merge(rendered, merged) == merged


@pytest.mark.parametrize("existing", ["", "\n", "---\nlicense: mit\n---\n", "---\nlicense: mit\n---"])
def test_a_card_with_no_body_gets_ours(rendered, existing):
    assert card.merge(rendered, existing).split("---\n", 2)[2] == rendered.split("---\n", 2)[2]


def test_front_matter_of_others_keeps_its_keys_their_order_and_comments(rendered):
    theirs = (
        "# first of all\nlanguage: en   # of the words\nlicense: apache-2.0\n# about tags\ntags:\n- mine\n- radiology\n"
        "# about nothing\nwidget:\n  - text: |\n      # not a comment\nthumbnail: 'x.png'\n# the end"
    )
    merged = card.merge(rendered, f"---\n{theirs}\n---\nBody.\n")
    head = merged.split("---\n")[1]
    found = _front_matter(merged)
    assert list(found)[:5] == ["language", "license", "tags", "widget", "thumbnail"]
    assert found["license"] == "mit"
    assert found["tags"][:2] == ["mine", "radiology"]
    assert set(found["tags"]) > {"mine", "chest-x-ray", "tiny"}
    assert found["tags"].count("radiology") == 1
    assert found["widget"] == [{"text": "# not a comment\n"}]
    for words in ("# first of all\nlanguage: en   # of the words\n", "# about tags\ntags:", "# about nothing\nwidget:"):
        assert words in head
    assert "# the end\n" in head
    assert found["model-index"] == _front_matter(rendered)["model-index"]
    assert card.merge(rendered, merged) == merged


@pytest.mark.parametrize(
    "theirs",
    [
        "{language: en, tags: [mine]}",
        "tags: &t [mine]\nlanguage: en\nother: *t",
        "? language\n: en\n? tags\n: - mine",
        "tags: mine\nlanguage: en",
        "language: en\r\ntags: [mine]",
    ],
)
def test_yaml_written_in_other_ways_is_merged_too(rendered, theirs):
    merged = card.merge(rendered, f"---\n{theirs}\n---\nBody.\n")
    found = _front_matter(merged.replace("\r\n", "\n"))
    assert found["language"] == "en"
    assert found["tags"][0] == "mine"
    assert "chest-x-ray" in found["tags"]
    assert found["license"] == "mit"
    assert card.merge(rendered, merged) == merged


def test_a_front_matter_of_comments_alone_keeps_them(rendered):
    merged = card.merge(rendered, "---\n# to do\n---\nBody.\n")
    assert merged.startswith("---\n# to do\nlibrary_name: xrayslam-zoo\n")
    assert _front_matter(merged) == _front_matter(rendered)


def test_the_licence_changes_only_when_one_is_given(rendered):
    theirs = "---\nlicense: other\nlicense_name: ours\nlicense_link: LICENSE\n---\nBody.\n"
    without = card.render(tiny_spec(), None, provenance={"seed": 3})
    same = card.render(tiny_spec(), None, provenance={"seed": 3}, license="other")
    for new in (without, same):
        found = _front_matter(card.merge(new, theirs))
        assert [found[k] for k in ("license", "license_name", "license_link")] == ["other", "ours", "LICENSE"]
    found = _front_matter(card.merge(rendered, theirs))
    assert found["license"] == "mit"
    assert {"license_name", "license_link"}.isdisjoint(found)


def test_line_ends_and_a_byte_order_mark_stay(rendered, earlier):
    windows = "\ufeff" + (earlier + "My words.\n").replace("\n", "\r\n")
    merged = card.merge(rendered, windows)
    assert merged.count("\n") == merged.count("\r\n")
    assert "\r\r" not in merged
    assert merged.startswith("\ufeff---\r\n")
    assert merged.endswith("My words.\r\n")
    assert merged.replace("\r\n", "\n") == "\ufeff" + card.merge(rendered, earlier + "My words.\n")
    assert card.merge(rendered, merged) == merged


@pytest.mark.parametrize(
    ("existing", "says"),
    [
        ("---\nlicense: [mit\n---\nBody", "no valid YAML"),
        ("---\n\tlicense: mit\n---\nBody", "no valid YAML"),
        ("---\nlicense: mit\nlicense: mit\n---\nBody", "'license' is there twice"),
        ("---\na: !!python/object:os.system {}\n---\nBody", "no valid YAML"),
        ("---\na: !!bool x\nb: !!timestamp y\n---\nBody", "no valid YAML"),
        ("---\n? [a]\n: b\n---\nBody", "no valid YAML"),
        ("---\n- mit\n---\nBody", "got list"),
        ("---\nlicense: mit\n\nBody", "never closed"),
        ("---\n---\nBody", "empty or never closed"),
        ("---\ntags: {a: b}\n---\nBody", "'tags'.*must be a list"),
        ("<!-- zoo:begin results -->\nx", "'results' never ends"),
        ("x\n<!-- zoo:end results -->\n", "line 2: .*no 'zoo:begin results'"),
        ("---\na: b\n---\nx\n<!-- zoo:end results -->\n", "line 5: .*no 'zoo:begin results'"),
        ("<!-- zoo:begin results -->\n<!-- zoo:begin use -->\n", "comes before 'zoo:end results'"),
        ("<!-- zoo:begin results -->\n<!-- zoo:end use -->\n", "no 'zoo:begin use'"),
        ("<!-- zoo:begin use -->\n<!-- zoo:end use -->\n" * 2, "there twice"),
        ("<!-- zoo:start use -->\n", "is no mark"),
        ("<!-- zoo:begin -->\n", "is no mark"),
    ],
)
def test_a_readme_that_cannot_be_merged_is_refused_in_one_line(rendered, existing, says):
    with pytest.raises(HubError, match=says) as caught:
        card.merge(rendered, existing)
    assert "\n" not in str(caught.value)
    assert "README.md" in str(caught.value)


def test_a_block_of_a_name_we_no_longer_write_stays(rendered):
    existing = "Words.\n<!-- zoo:begin old -->\nold text\n<!-- zoo:end old -->\nMore.\n"
    assert card.merge(rendered, existing).endswith(existing)
