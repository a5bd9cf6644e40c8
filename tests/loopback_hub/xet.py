"""The other way for large files, xet: the Hub hands out a token and the address of a store.

The client's own xet library can use a folder as its store (`local://`), so no store server is needed: this Hub names
that folder, and reads from the folder's shards what was put there.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path
from typing import NamedTuple

from .access import check_gate, check_pull_request, check_write
from .answers import Answer, Refusal, as_json
from .request import Request


def token(request: Request) -> Answer:
    repo = request.repo()
    if request.server.xet_store is None:
        raise Refusal(404, "This Hub has no xet store")
    if request.args["role"] == "write" and "create_pr" in request.query:
        check_pull_request(request.user)
    elif request.args["role"] == "write":
        check_write(request.user, repo.owner)
    else:
        check_gate(request.user, repo)
    store, expires = f"local://{request.server.xet_store}", int(time.time()) + 3600
    headers = {"X-Xet-Cas-Url": store, "X-Xet-Access-Token": "xet", "X-Xet-Token-Expiration": str(expires)}
    return as_json({"casUrl": store, "accessToken": "xet", "exp": expires}, headers)


class XetFile(NamedTuple):
    hash: str
    size: int


# A shard is a header of 48 bytes and then a list of files, each 48 bytes of head (hash, flags, number of segments), its
# segments, as many rows of verification if the first flag is set, and 48 bytes with the file's sha256 if the second is.
_ROW = 48
_END = b"\xff" * 32


def uploaded(store: Path) -> dict[str, XetFile]:
    """What lies in a xet store of this machine: xet's hash and the size of each file, by its sha256."""
    found: dict[str, XetFile] = {}
    for shard in (store / "xet" / "xorbs" / "shards").glob("*.mdb"):
        data, at = shard.read_bytes(), _ROW
        while at + _ROW <= len(data) and data[at : at + 32] != _END:
            hash = _hex(data[at : at + 32])
            flags, segments = struct.unpack_from("<II", data, at + 32)
            at += _ROW
            size = sum(struct.unpack_from("<I", data, at + _ROW * row + 36)[0] for row in range(segments))
            at += _ROW * segments * (2 if flags >> 31 & 1 else 1)
            if flags >> 30 & 1:
                found[_hex(data[at : at + 32])] = XetFile(hash, size)
                at += _ROW
    return found


def _hex(data: bytes) -> str:
    """A hash is written as four little-endian words of 8 bytes."""
    return "".join(data[i : i + 8][::-1].hex() for i in range(0, 32, 8))
