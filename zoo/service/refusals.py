"""Requests that are not answered with findings: HTTP status, kind for the metrics, and one line for the client."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType

#: Kind -> HTTP status, and what the description of the service says about it.
KINDS: Mapping[str, tuple[HTTPStatus, str]] = MappingProxyType(
    {
        "malformed": (HTTPStatus.BAD_REQUEST, "The body is no complete multipart form."),
        "unauthorized": (HTTPStatus.UNAUTHORIZED, "The token is missing or wrong."),
        "slow upload": (HTTPStatus.REQUEST_TIMEOUT, "The request did not arrive in the time of a request."),
        "too large": (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body is too large, or has too many files."),
        "not multipart": (HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "The body is not multipart/form-data."),
        "no files": (HTTPStatus.UNPROCESSABLE_ENTITY, "The form has no files, or fields of other names."),
        "fault": (HTTPStatus.INTERNAL_SERVER_ERROR, "A fault of the service; its log has the traceback."),
        "busy": (HTTPStatus.SERVICE_UNAVAILABLE, "The queue is full, or the service ends; see Retry-After."),
        "slow": (HTTPStatus.GATEWAY_TIMEOUT, "The findings were not ready in the time of a request."),
    }
)


class Refusal(Exception):
    """A request that is refused; it becomes the response.

    Args:
        kind: A key of `KINDS`.
        text: One line for the client: what was wrong and what to do.
        headers: Headers of the response.

    >>> Refusal("too large", "a body of 2 MB; at most 1 MB").status
    413
    """

    def __init__(self, kind: str, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.kind, self.text, self.headers = kind, text, dict(headers or {})

    @property
    def status(self) -> int:
        """HTTP status of the response."""
        return int(KINDS[self.kind][0])


def busy(text: str, seconds: float = 1.0) -> Refusal:
    """Returns a 503 that tells the client when to try again.

    >>> busy("the queue is full", 2.3).headers
    {'Retry-After': '3'}
    """
    return Refusal("busy", text, {"Retry-After": str(min(60, max(1, int(-(-seconds // 1)))))})
