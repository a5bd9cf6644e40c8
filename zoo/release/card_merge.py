"""Merges a new card into an edited one; only marked blocks and the zoo's own front-matter keys change."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zoo.core.errors import HubError

#: A mark is on a line of its own.
_MARK = re.compile(r"^[ \t]*<!--[ \t]*zoo:(?P<what>[^\n]*?)[ \t]*-->[ \t]*(?=\r?$)", re.MULTILINE)
_WHAT = re.compile(r"(begin|end)[ \t]+([a-z0-9-]+)")

#: Front-matter keys that the zoo sets, and lists that it merges with the existing ones.
_SET = ("library_name", "pipeline_tag", "metrics", "model-index")
_UNITED = ("tags", "datasets")
_LICENSE = ("license", "license_name", "license_link")


def merge(rendered: str, existing: str) -> str:
    """Returns the text of a README that updates an existing one on the Hub.

    In the body, each marked block is replaced by the rendered block of the same name; all other text is kept, and a
    block that somebody removed is not restored. A card with a blank body gets the rendered body. In the front matter,
    `library_name`, `pipeline_tag`, `metrics`, `model-index` and, if one is rendered, the licence are replaced, and
    `tags` and `datasets` are merged; other keys keep their order and comments. (A comment inside a changed value is
    lost; all comments are lost if YAML anchors, merge keys or braces prevent an edit by line.) Line endings are kept.

    Args:
        rendered: Card from `card.render`.
        existing: Text of the README, read without newline conversion (`newline=""`).

    Raises:
        HubError: The README's front matter cannot be read, or its marks are not paired; states what to correct.
    """
    ours, our_body = _split(rendered)
    bom = "\ufeff" if existing.startswith("\ufeff") else ""
    theirs, their_body = _split(existing.removeprefix(bom))
    # Edits use \n only, which PyYAML and the marks require; the unchanged body is never converted.
    crlf = existing.count("\r\n") * 2 > existing.count("\n")
    head = _merge_front_matter(ours or "", theirs)
    end = "\r\n" if crlf else "\n"
    front = f"---\n{head}\n---\n".replace("\n", end)
    if not their_body.strip():
        return bom + front + our_body.replace("\n", end)
    return bom + front + _merge_body(our_body, their_body, end, existing.count("\n") - their_body.count("\n"))


def _split(card: str) -> tuple[str | None, str]:
    """Returns the front matter without its fences, with \\n line ends (None if there is none), and the body."""
    from huggingface_hub.repocard import REGEX_YAML_BLOCK

    found = REGEX_YAML_BLOCK.search(card)
    if found:
        return found.group(2).replace("\r\n", "\n"), card[found.end() :]
    if re.match(r"\s*---[ \t]*(\r?\n|$)", card):
        raise HubError("README.md: its front matter is empty or never closed: end it with a line '---', or remove it")
    return None, card


def _merge_body(rendered: str, existing: str, end: str, lines_above: int) -> str:
    new = {name: rendered[start:stop] for name, start, stop in _blocks(rendered)}
    parts, place = [], 0
    for name, start, stop in _blocks(existing, lines_above):
        inner = new[name].replace("\n", end) if name in new else existing[start:stop]
        parts += [existing[place:start], inner]
        place = stop
    return "".join([*parts, existing[place:]])


def _blocks(body: str, lines_above: int = 0) -> list[tuple[str, int, int]]:
    """Returns name and extent (without its marks) of each block; blocks can be neither nested nor repeated."""
    found: list[tuple[str, int, int]] = []
    opened: tuple[str, int] | None = None
    for mark in _MARK.finditer(body):
        line = lines_above + body.count("\n", 0, mark.start()) + 1
        what = _WHAT.fullmatch(mark["what"])
        if not what:
            raise HubError(_unpaired(mark[0], line, "is no mark 'zoo:begin NAME' or 'zoo:end NAME'"))
        kind, name = what.groups()
        if kind == "begin":
            if opened:
                raise HubError(_unpaired(mark[0], line, f"comes before 'zoo:end {opened[0]}'"))
            if name in {n for n, _, _ in found}:
                raise HubError(_unpaired(mark[0], line, "is there twice"))
            opened = name, mark.end()
        else:
            if not opened or opened[0] != name:
                raise HubError(_unpaired(mark[0], line, f"has no 'zoo:begin {name}' before it"))
            found.append((name, opened[1], mark.start()))
            opened = None
    if opened:
        raise HubError(f"README.md: block {opened[0]!r} never ends: add a line '<!-- zoo:end {opened[0]} -->' after it")
    return found


def _unpaired(mark: str, line: int, why: str) -> str:
    return f"README.md, line {line}: {mark.strip()!r} {why}: put the marks right, or remove them"


def _merge_front_matter(ours: str, theirs: str | None) -> str:
    """Edits the front matter key by key; rewrites it as a whole if that does not give the wanted values."""
    if theirs is None:
        return ours
    rendered, existing = _parse(ours), _parse(theirs)
    wanted = _wanted(rendered, existing)
    changed = {key: value for key, value in wanted.items() if key not in existing or existing[key] != value}
    dropped = [key for key in existing if key not in wanted]
    if not changed and not dropped:
        return theirs
    edited = _edit(theirs, changed, dropped)
    try:
        result = _load(edited)
    except ValueError:
        result = None
    if isinstance(result, dict) and list(result) == list(wanted) and all(result[k] == v for k, v in changed.items()):
        return edited
    return _dump(wanted)


def _wanted(rendered: Mapping[str, Any], existing: Mapping[str, Any]) -> dict[str, Any]:
    wanted = dict(existing)
    wanted |= {key: rendered[key] for key in _SET if key in rendered}
    for key in _UNITED:
        if key in rendered:
            there = _strings(key, existing.get(key))
            wanted[key] = [*there, *(v for v in rendered[key] if v not in there)] if there else rendered[key]
            if wanted[key] == there:
                wanted[key] = existing[key]
    if "license" in rendered and rendered["license"] != existing.get("license"):
        # The name and link belong to the licence that is replaced.
        wanted = {key: value for key, value in wanted.items() if key not in _LICENSE[1:]}
        wanted["license"] = rendered["license"]
    return wanted


def _strings(key: str, value: Any) -> list[Any]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    if not isinstance(value, list):
        raise HubError(f"README.md: {key!r} in its front matter must be a list, got {type(value).__name__}: mend it")
    return value


def _parse(text: str) -> dict[str, Any]:
    try:
        data = _load(text)
    except ValueError as error:
        raise HubError(f"README.md: its front matter is no valid YAML: {error}; mend it there first") from None
    if not isinstance(data, dict):
        raise HubError(f"README.md: its front matter must be 'key: value' lines, got {type(data).__name__}: mend it")
    return data


def _load(text: str) -> Any:
    """Parses YAML as plain data; {} for an empty text. Duplicate keys are refused, as on the Hub."""
    import yaml

    loader = None
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        keys = [key.value for key, _ in root.value] if isinstance(root, yaml.MappingNode) else []
        data = {} if root is None else loader.construct_document(root)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        # PyYAML raises other errors if a value does not fit its tag: "!!bool x", "!!timestamp x".
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from None
    finally:
        if loader:
            loader.dispose()
    twice = [key for key in keys if keys.count(key) > 1]
    if twice:
        raise ValueError(f"key {twice[0]!r} is there twice")
    return {} if data is None else data


def _pairs(text: str) -> list[tuple[Any, Any]]:
    """Returns the key and value nodes of the top-level mapping of valid YAML, with their positions in the text."""
    import yaml

    root = yaml.compose(text, yaml.SafeLoader)
    return root.value if isinstance(root, yaml.MappingNode) else []


def _edit(text: str, changed: Mapping[str, Any], dropped: list[str]) -> str:
    """Replaces the lines of some keys and appends new keys; the remaining text is unchanged."""
    text += "\n" if text else ""
    pairs = _pairs(text)
    starts = [key.start_mark.index for key, _ in pairs]
    parts, there = [text[: starts[0]] if starts else text], set()
    for (key, _), start, stop in zip(pairs, starts, [*starts, len(text)][1:], strict=True):
        lines, after = _trailing_comments(text[start:stop])
        if key.value in changed:
            lines = _dump({key.value: changed[key.value]}) + "\n"
        parts += ["" if key.value in dropped else lines, after]
        there.add(key.value)
    new = {key: value for key, value in changed.items() if key not in there}
    return ("".join(parts) + (_dump(new) + "\n" if new else "")).removesuffix("\n")


def _trailing_comments(text: str) -> tuple[str, str]:
    """Splits a key's lines from the blank lines and comments after them, which belong to the next key."""
    lines = text.splitlines(keepends=True)
    last = len(lines)
    while last and lines[last - 1].strip()[:1] in ("", "#"):
        last -= 1
    return "".join(lines[:last]), "".join(lines[last:])


def _dump(data: Mapping[str, Any]) -> str:
    from huggingface_hub.utils import yaml_dump

    return yaml_dump(dict(data), sort_keys=False).rstrip("\n")
