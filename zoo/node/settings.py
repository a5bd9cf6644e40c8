"""Settings of the node: who it is, who may send to it, where results go, and its limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import urlsplit

from zoo.core.errors import MissingExtraError, UsageError
from zoo.node.tls import PLAIN, Tls
from zoo.service.settings import is_loopback

#: Libraries of the extra `node`.
_LIBRARIES = ("pydicom", "highdicom", "pynetdicom", "dicomweb_client")

#: An application entity title: 1 to 16 printable ASCII characters without a backslash (PS3.5, VR AE).
_TITLE = re.compile(r"(?! )[ -\[\]-~]{1,16}(?<! )")


@dataclass(frozen=True)
class Peer:
    """A DICOM application on the network, written `AET@host:port`.

    Attributes:
        aet: Its application entity title.
        host: Its address.
        port: Its port.

    Example:
        >>> Peer.parse("ORTHANC@127.0.0.1:4242")
        Peer(aet='ORTHANC', host='127.0.0.1', port=4242)
    """

    aet: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Peer:
        """Reads `AET@host:port`; an IPv6 address stands in brackets.

        Raises:
            UsageError: The text has another form.
        """
        aet, _, address = text.rpartition("@")
        host, _, port = address.rpartition(":")
        if not (host and port.isdecimal() and 0 < int(port) < 65536):
            raise UsageError(f"an application is written AET@host:port, such as PACS@127.0.0.1:4242, got {text!r}")
        return cls(check_title(aet), host.removeprefix("[").removesuffix("]"), int(port))


@dataclass(frozen=True)
class Settings:
    """How a node runs; limits on single images are `predictor.limits`, whose `bytes` also limit what is received.

    An object is in memory while it is received, at most three times: in the worst case, three times
    `predictor.limits.bytes` for each of `associations`.

    Attributes:
        aet: The node's own application entity title; associations that call another are rejected.
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        allow: Titles that may call; any may on loopback, or with `insecure`, if there are none.
        insecure: Whether an address that other machines can reach may be used without a list of titles.
        quiet: Seconds without a new image after which a study is complete.
        associations: Associations at a time; more are rejected.
        spool_bytes: Bytes of the images that are kept at a time; objects beyond them are refused.
        spool_objects: Number of these images.
        refusals: How often the archive may refuse a result before the study is kept aside; a connection that fails is
            tried again without an end.
        retry: Seconds to the first repetition of a failed sending; each further pause is twice as long.
        retry_most: Longest pause.
        tls: Certificates; images are received without TLS if there are none.

    Raises:
        UsageError: A number or title is out of range, or another address than loopback has no list of titles.

    Example:
        >>> Settings(quiet=5).aet
        'ZOO'
        >>> Settings(host="0.0.0.0")
        Traceback (most recent call last):
        ...
        zoo.core.errors.UsageError: 0.0.0.0 can be reached from other machines: name the applications that may send by \
--allow AET, or insist with --insecure
    """

    aet: str = "ZOO"
    host: str = "127.0.0.1"
    port: int = 11112
    allow: tuple[str, ...] = ()
    insecure: bool = False
    quiet: float = 30.0
    associations: int = 4
    spool_bytes: int = 20_000_000_000
    spool_objects: int = 10_000
    refusals: int = 8
    retry: float = 2.0
    retry_most: float = 300.0
    tls: Tls = PLAIN

    def __post_init__(self) -> None:
        for title in (self.aet, *self.allow):
            check_title(title)
        for name in ("quiet", "associations", "spool_bytes", "spool_objects", "refusals", "retry", "retry_most"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} has to be positive, got {getattr(self, name)!r}")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"a port is a number from 0 to 65535, got {self.port}")
        if not self.allow and not self.insecure and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached from other machines: name the applications that may send by --allow AET, "
                "or insist with --insecure"
            )


def check_title(title: str) -> str:
    """Returns an application entity title as it is.

    Raises:
        UsageError: It is none.

    >>> check_title("ZOO")
    'ZOO'
    """
    if not _TITLE.fullmatch(title):
        raise UsageError(f"an AE title has 1 to 16 printable ASCII characters without a backslash, got {title!r}")
    return title


def check_web(url: str, token: str, insecure: bool = False) -> None:
    """Checks the address of a DICOMweb server.

    Raises:
        UsageError: It is no address, or a token would cross a network unencrypted.

    >>> check_web("http://127.0.0.1:8042/dicom-web", "secret")
    """
    found = urlsplit(url)
    if found.scheme not in ("http", "https") or not found.hostname:
        raise UsageError(f"a DICOMweb server is written http(s)://host:port/path, got {url!r}")
    if token and found.scheme == "http" and not insecure and not is_loopback(found.hostname):
        raise UsageError(
            f"{found.hostname} would get ZOO_DICOMWEB_TOKEN unencrypted: use https, or insist with --insecure"
        )


def check_installed(libraries: Sequence[str] = _LIBRARIES) -> None:
    """Raises `MissingExtraError` if a library of the extra `node` is not installed.

    >>> check_installed(["json"])
    """
    for library in libraries:
        if find_spec(library) is None:
            raise MissingExtraError("zoo node", library, "node")
