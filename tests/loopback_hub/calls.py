"""Short calls of the real client, for tests; they go to the Hub that HF_ENDPOINT names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def additions(files: Mapping[str, bytes]) -> list[Any]:
    """The operations of a commit that adds these files."""
    from huggingface_hub import CommitOperationAdd

    return [CommitOperationAdd(path, data) for path, data in files.items()]


def download(name: str, revision: str | None = None, *, repo: str = "tester/model", **options: Any) -> bytes:
    """The bytes of one file, through the client's cache."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(repo, name, revision=revision, **options)).read_bytes()


def status(call: Callable[..., object], *args: Any, **options: Any) -> int:
    """The HTTP status of the error that a call of the client raises; 200 if it raises none."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        call(*args, **options)
    except HfHubHTTPError as error:
        return error.response.status_code
    return 200
