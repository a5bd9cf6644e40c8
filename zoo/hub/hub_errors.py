"""Turns failures of the Hub client into one-line errors: what was requested, from where, why it failed, what to do."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from zoo.core.errors import HubError, ReleaseError

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

#: Largest number of characters of a server's answer that a message repeats.
MAX_ANSWER = 200

_LOG_IN = "log in with 'hf auth login' or set HF_TOKEN"
_CHECK_ENDPOINT = "check the network and HF_ENDPOINT, then run again"
_UNLIKE = "the answer is not one that a Hub gives", "check HF_ENDPOINT, and the proxy if there is one"

#: HTTP status -> reason, and what to do.
_STATUS = {
    400: ("the Hub refuses the request", "correct what it names"),
    401: ("the Hub refuses the token", _LOG_IN),
    402: ("the Hub asks for a payment", "look at the plan of the account"),
    403: (
        "the token is not allowed to do this",
        "use one with the right to read it (or, to publish, to write for this owner)",
    ),
    404: ("there is nothing of that address", "check the spelling and HF_ENDPOINT"),
    409: ("the Hub has it already, or somebody is changing it", "look at the repository, then run again"),
    412: ("somebody committed meanwhile", "run again: it starts from the new state"),
    413: ("the Hub refuses the size", "publish smaller files, for example weights in float16"),
    429: ("too many requests", "wait some minutes and run again"),
}


@contextmanager
def hub_errors(what: str) -> Iterator[None]:
    """Turns any failure of the client in the block into a `HubError`; errors of this package pass unchanged.

    The block should contain only calls of the client. An unexpected answer causes a KeyError or TypeError in the
    client's code, so these are caught, too.

    Args:
        what: The operation, such as "publishing owner/name".

    Raises:
        HubError: One line, as made by `explain`.
    """
    from huggingface_hub import errors

    own = (errors.EntryNotFoundError, errors.RevisionResolutionError, errors.XetDownloadError, errors.OIDCError)
    strange = (ValueError, LookupError, TypeError, AttributeError, RuntimeError)
    try:
        yield
    except ReleaseError:
        raise
    except (OSError, errors.HTTPError, *own, *strange) as error:
        raise explain(error, what) from error


def explain(error: Exception, what: str) -> HubError:
    """Explains a failure of the client in one line.

    Args:
        error: The error that the client raised.
        what: The operation, such as "publishing owner/name".

    Returns:
        A `HubError` to raise: "<operation>, on <endpoint>: <reason>; <what to do>". It never contains a token.
    """
    reason, advice = _reason(_root(error))
    return HubError(f"{what}, on {endpoint()}: {_one_line(reason)}; {advice}")


def endpoint() -> str:
    """The address of the Hub that the client uses, without user name and password."""
    try:
        # The client reads HF_ENDPOINT when it is imported, and fails if it is not an address.
        from huggingface_hub import constants

        parts = urlsplit(constants.ENDPOINT)
    except ValueError:
        return "HF_ENDPOINT (not an address)"
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def status(error: BaseException) -> int:
    """The HTTP status that caused an error; 0 if there was no answer.

    >>> status(OSError("no network"))
    0
    """
    response = getattr(error, "response", None)
    return int(getattr(response, "status_code", 0) or 0)


def _root(error: Exception) -> Exception:
    """The cause of an error: the client wraps it (such as a network failure) in another one ("not in the cache")."""
    from huggingface_hub import errors

    wrapped = isinstance(error, (errors.LocalEntryNotFoundError, errors.RevisionResolutionError, errors.DryRunError))
    wrapped = wrapped or (isinstance(error, ValueError) and "Force download failed" in str(error))
    wrapped = wrapped or (isinstance(error, RuntimeError) and "Error while uploading" in str(error))
    cause = error.__cause__
    return _root(cause) if wrapped and isinstance(cause, Exception) else error


def _reason(error: Exception) -> tuple[str, str]:
    """The reason of a failure, and what to do."""
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return _reason_of_answer(error)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return "the client is offline (HF_HUB_OFFLINE, or only the cache was asked)", "unset HF_HUB_OFFLINE to go on"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return "there is no token", _LOG_IN
    if isinstance(error, errors.OIDCError):
        return f"no token from OIDC: {error}", _LOG_IN
    if isinstance(error, errors.LocalEntryNotFoundError):
        return "not, or not wholly, in the local cache", "run once with the network, HF_HUB_OFFLINE unset"
    if isinstance(error, errors.HFValidationError):
        return str(error), "correct the name"
    if isinstance(error, errors.FileMetadataError):
        return _UNLIKE
    if isinstance(error, OSError):
        return _reason_of_system(error)
    if isinstance(error, errors.HTTPError):
        return f"the Hub cannot be reached, or broke off ({_kind(error)})", _CHECK_ENDPOINT
    if "metadata in README.md" in str(error):
        return f"the card is refused: {error}", "correct the front matter of README.md"
    if isinstance(error, RuntimeError) or not str(error):
        return f"the transfer failed ({_kind(error)})", "run again: what is up already is not sent twice"
    return f"{_UNLIKE[0]} ({_kind(error)})", _UNLIKE[1]


def _reason_of_answer(error: HfHubHTTPError) -> tuple[str, str]:
    from huggingface_hub import errors

    code = status(error)
    if isinstance(error, errors.GatedRepoError):
        return "access to the repository is restricted", f"ask for access on its page there, and {_LOG_IN}"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such repository, or it is private", f"check the spelling, or {_LOG_IN} as somebody who may see it"
    if isinstance(error, errors.RevisionNotFoundError):
        return "no such revision", "name a branch, a tag or a commit that the repository has"
    if isinstance(error, errors.RemoteEntryNotFoundError):
        return "a file is not in the repository at this revision", "check the revision; perhaps it is no zoo release"
    if isinstance(error, errors.DisabledRepoError):
        return "the repository is disabled", "ask its owner"
    if code >= 500:
        return f"the Hub has a fault (status {code})", "run again later"
    if code == 401 and "authorization" not in error.response.request.headers:
        return "the Hub asks who it is, and there is no token", _LOG_IN
    reason, advice = _STATUS.get(
        code, (f"the Hub answers with status {code}", "look at the repository, then run again")
    )
    if code == 429 and (seconds := error.response.headers.get("Retry-After", "")).isdigit():
        advice = f"run again in {seconds} s"
    said = _one_line(error.server_message or "")
    return f"{reason} ({said})" if said and code != 404 else reason, advice


def _reason_of_system(error: OSError) -> tuple[str, str]:
    if isinstance(error, (ConnectionError, TimeoutError)):
        return f"the Hub cannot be reached, or broke off ({_kind(error)})", _CHECK_ENDPOINT
    where = f" at {error.filename}" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space is left on the disk{where}", "free some, or set HF_HOME to a place on another disk"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"this user may not write{where}", "set HF_HOME to a place that can be written"
    if "Consistency check failed" in str(error):
        return "a file came with another length than announced", "run again"
    return f"{_kind(error)}", "run again; if it stays, look at the disk and the network"


def _kind(error: Exception) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _one_line(text: str) -> str:
    """Shortens a text to one line of at most `MAX_ANSWER` printable characters, and masks everything like a token."""
    from huggingface_hub import errors

    try:
        from huggingface_hub import get_token

        token = get_token()
    except (OSError, ValueError, errors.OIDCError, errors.HTTPError):
        token = None
    if token:
        text = text.replace(token, "***")
    text = re.sub(r"\bhf_\w{4,}|(?<=//)[^/\s@]+(?=@)|(?i:bearer)\s+\S+|\?\S+", "***", text)
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= MAX_ANSWER else f"{text[:MAX_ANSWER]}..."
