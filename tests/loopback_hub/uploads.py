"""Files on their way in: which way each goes, and the large ones by the LFS protocol (in one piece or in parts)."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from .access import check_pull_request, check_write
from .answers import Answer, Refusal, as_json
from .request import Request
from .store import is_large


def preupload(request: Request) -> Answer:
    """Tells for each file how to send it, and the hash of what is there now, so that unchanged ones are left out."""
    repo = request.repo()
    if "create_pr" in request.query or request.args["revision"].startswith("refs/pr/"):
        check_pull_request(request.user)
    else:
        check_write(request.user, repo.owner)
    commit = repo.at(request.args["revision"])
    rows = []
    for file in request.json()["files"]:
        large = is_large(file["path"], file["size"], base64.b64decode(file["sample"]))
        row = {"path": file["path"], "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        there = commit.tree.get(file["path"])
        if there:
            row["oid"] = there.sha256 or there.oid
        rows.append(row)
    return as_json({"files": rows, "commitOid": commit.id})


def lfs_batch(request: Request) -> Answer:
    """Says where to put each object; one without "actions" is there already."""
    request.repo()
    # The batch does not say whether a pull request follows: whoever may open one may upload.
    check_pull_request(request.user)
    asked = request.json()
    multipart = "multipart" in asked.get("transfers", [])
    rows = [_lfs_row(request, row["oid"], row["size"], multipart) for row in asked["objects"]]
    return as_json({"transfer": "multipart" if multipart else "basic", "objects": rows, "hash_algo": "sha256"})


def _lfs_row(request: Request, oid: str, size: int, multipart: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"oid": oid, "size": size, "authenticated": True}
    if request.store.blob_path(oid).exists():
        return row
    server, part_size = request.server, request.server.part_size
    if multipart and size > part_size:
        parts = range(1, -(-size // part_size) + 1)
        header = {"chunk_size": str(part_size)} | {str(n): f"{server.cdn_url}/upload/{oid}/{n}" for n in parts}
        upload = {"href": f"{server.url}/lfs/complete/{oid}", "header": header}
    else:
        upload = {"href": f"{server.cdn_url}/upload/{oid}", "header": {}}
    row["actions"] = {"upload": upload, "verify": {"href": f"{server.url}/lfs/verify", "header": {}}}
    return row


def lfs_put(request: Request) -> Answer:
    _keep_object(request, request.body)
    return Answer(200, headers=_etag(request.body))


def lfs_part(request: Request) -> Answer:
    _part_path(request, int(request.args["number"])).write_bytes(request.body)
    return Answer(200, headers=_etag(request.body))


def lfs_complete(request: Request) -> Answer:
    paths = [_part_path(request, part["partNumber"]) for part in request.json()["parts"]]
    _keep_object(request, b"".join(path.read_bytes() for path in paths))
    return as_json({})


def lfs_verify(request: Request) -> Answer:
    asked = request.json()
    path = request.store.blob_path(asked["oid"])
    if not path.exists() or path.stat().st_size != asked["size"]:
        raise Refusal(404, "The object is missing, or of another size")
    return as_json({})


def _keep_object(request: Request, data: bytes) -> None:
    if hashlib.sha256(data).hexdigest() != request.args["oid"]:
        raise Refusal(400, "The object's sha256 is another one")
    request.store.put_object(data)


def _part_path(request: Request, number: int) -> Path:
    return request.store.root / "parts" / f"{request.args['oid']}.{number}"


def _etag(data: bytes) -> dict[str, str]:
    return {"ETag": f'"{hashlib.md5(data).hexdigest()}"'}
