"""Downloads one file from an address: bounded, resumable, whole or not at all, and checked against its SHA-256."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock

from zoo.core import home
from zoo.core.errors import HubError, IntegrityError
from zoo.core.files import sha256 as sha256_of
from zoo.core.files import write_json
from zoo.core.terminal import download_bar
from zoo.hub import download

#: Most bytes that are read for a file whose size is not known.
MAX_BYTES = 2_000_000_000

#: Seconds without a byte after which a download is given up, and bytes read at a time.
SECONDS, _BLOCK = 60.0, 1 << 20


@dataclass(frozen=True)
class Fetched:
    """A downloaded file.

    Attributes:
        path: Where it lies.
        url: The address it came from.
        sha256: Its SHA-256.
        first_use: Whether the hash was unknown until now, so that this file was trusted.
    """

    path: Path
    url: str
    sha256: str
    first_use: bool


def fetch(
    urls: Sequence[str],
    target: Path,
    *,
    size: int = 0,
    sha256: str = "",
    advise: str = "",
    advance: Callable[[int], None] | None = None,
) -> Fetched:
    """Downloads a file from the first address that has it.

    What came before an interruption is kept beside `target` (`.part`), and the next call continues behind it if the
    server's file is still the same one. On a terminal a bar shows the progress, on standard error.

    Args:
        urls: Addresses of the same file, http or https, tried in turn.
        target: The file to write.
        size: Expected size in bytes, or 0 if it is not known.
        sha256: Expected SHA-256. Without one, that of the first download from any of the addresses is stored in
            `ZOO_HOME/trusted.json` and expected ever after.
        advise: What a message tells a user without network.
        advance: Receives the number of bytes of each block.

    Raises:
        HubError: No address has the file, it is too large or was cut off, or the network is off.
        IntegrityError: The file has another size or SHA-256; it is deleted.
    """
    if download.offline():
        raise HubError(f"{target.name} is not on this machine, and HF_HUB_OFFLINE forbids the network{advise}")
    expected = sha256 or trusted(urls)
    target.parent.mkdir(parents=True, exist_ok=True)
    problems = []
    with FileLock(f"{target}.lock"):
        for url in urls:
            try:
                with download_bar(target.name) as show:
                    _download(url, target, size, advance, show)
            except (OSError, http.client.HTTPException, HubError) as error:
                problems.append(f"{url}: {_reason(error)}")
                continue
            found = sha256_of(target)
            if expected and found != expected:
                target.unlink()
                whose = "of the published file" if sha256 else "that was trusted at the first download"
                problems.append(f"{url}: the file has SHA-256 {found[:16]}..., not {expected[:16]}... {whose}")
                continue
            if not expected:
                _trust(urls, found, target.stat().st_size)
            return Fetched(target, url, found, not expected)
    kind = IntegrityError if all("SHA-256" in problem for problem in problems) else HubError
    raise kind(f"{target.name} cannot be downloaded: {'; '.join(problems)}{advise}")


def trusted(urls: Sequence[str]) -> str:
    """The SHA-256 stored at the first download from one of these addresses, or ""."""
    known = _read_trusted()
    return next((str(known[url]["sha256"]) for url in urls if url in known), "")


def forget(urls: Sequence[str]) -> None:
    """Forgets the stored SHA-256 of these addresses, for a first download that proved to be wrong."""
    write_json(_trusted_path(), {url: facts for url, facts in _read_trusted().items() if url not in urls})


def _trust(urls: Sequence[str], sha256: str, size: int) -> None:
    write_json(_trusted_path(), {**_read_trusted(), **{url: {"sha256": sha256, "size": size} for url in urls}})


def _trusted_path() -> Path:
    return home.home() / "trusted.json"


def _read_trusted() -> dict[str, dict[str, Any]]:
    path = _trusted_path()
    try:
        known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError as error:
        raise HubError(f"{path} is damaged ({error}): delete it, and the next downloads are trusted anew") from None
    if not isinstance(known, dict) or not all(isinstance(v, dict) and "sha256" in v for v in known.values()):
        raise HubError(f"{path} is damaged: delete it, and the next downloads are trusted anew")
    return known


def _download(
    url: str,
    target: Path,
    size: int,
    advance: Callable[[int], None] | None,
    show: Callable[[int, int | None], None],
) -> None:
    if urlsplit(url).scheme not in ("http", "https"):
        raise HubError("only http and https are read")
    part, note = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.etag")
    headers = {"User-Agent": "xrayslam-zoo", "Accept-Encoding": "identity"}
    done = part.stat().st_size if part.exists() and note.exists() else 0
    if done:
        headers |= {"Range": f"bytes={done}-", "If-Range": note.read_text("utf-8")}
    limit = size or MAX_BYTES
    with _open(urllib.request.Request(url, headers=headers), done) as answer:
        if answer.status != 206:
            done = 0
        stated = answer.headers.get("Content-Length")
        total = done + int(stated) if stated and stated.isdecimal() else None
        if (size and total not in (None, size)) or (total or 0) > limit:
            raise HubError(f"the file has {total:,} bytes, expected {'' if size else 'at most '}{limit:,}")
        tag = answer.headers.get("ETag", "")
        note.write_text(tag, "utf-8") if tag and not tag.startswith("W/") else note.unlink(missing_ok=True)
        with part.open("ab" if done else "wb") as out:
            while block := answer.read(_BLOCK):
                done += len(block)
                if done > limit:
                    raise HubError(f"the file is larger than {limit:,} bytes")
                out.write(block)
                show(done, total or size or None)
                if advance is not None:
                    advance(len(block))
    if (total is not None and done != total) or (size and done != size):
        raise HubError(f"it was cut off after {done:,} of {size or total:,} bytes; run again to continue")
    part.replace(target)
    note.unlink(missing_ok=True)


def _open(request: urllib.request.Request, done: int) -> Any:
    try:
        return urllib.request.urlopen(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        if error.code == 416 and done:  # the part is as long as the whole, or the file is another one
            request.remove_header("Range")
            request.remove_header("If-range")
            return urllib.request.urlopen(request, timeout=SECONDS)
        raise


def _reason(error: BaseException) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answers {error.code} {error.reason}"
    return " ".join(str(getattr(error, "reason", None) or error).split())[:200]
