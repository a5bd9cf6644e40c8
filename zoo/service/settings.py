"""Settings of the service: where it listens, who may use it, and its limits."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from importlib.util import find_spec

from zoo.core.errors import MissingExtraError, UsageError

#: Libraries of the extra `api`.
_LIBRARIES = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")

#: A shorter token could be guessed.
TOKEN_LENGTH = 16


@dataclass(frozen=True)
class Settings:
    """How a service runs; limits on single images are `predictor.limits`.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 takes a free one.
        token: Secret that clients send as `Authorization: Bearer TOKEN`; "" for none.
        insecure: Whether an address that other machines can reach may be used without a token.
        body: Bytes of one request at most.
        held: Bytes of all requests together that are in memory at a time.
        files: Files in one request at most.
        batch: Images in one call of the network at most; None for the runtime's own number.
        wait: Seconds for which a batch that is not full waits for images that are being read.
        queue: Images that are read or wait at a time; a request that does not fit in is answered 503.
        seconds: Time of one request, from its first byte to its answer.
        drain: Seconds that requests get to end after SIGTERM.
        point: Name of the operating point whose thresholds are used; None for the model's default.
        log_names: Whether the log names the uploaded files, which may name patients.

    Raises:
        UsageError: A number is out of range; the token is too short; or another address than loopback has no token.

    Example:
        >>> Settings(files=8, queue=64).port
        8000
        >>> Settings(host="0.0.0.0")
        Traceback (most recent call last):
        ...
        zoo.core.errors.UsageError: 0.0.0.0 can be reached from other machines: set ZOO_TOKEN to a secret of at least \
16 characters, or insist with --insecure
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str = field(default="", repr=False)
    insecure: bool = False
    body: int = 256_000_000
    held: int = 1_000_000_000
    files: int = 64
    batch: int | None = None
    wait: float = 0.005
    queue: int = 256
    seconds: float = 60.0
    drain: float = 30.0
    point: str | None = None
    log_names: bool = False

    def __post_init__(self) -> None:
        for name in ("body", "held", "files", "queue", "seconds", "drain"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} has to be positive, got {getattr(self, name)!r}")
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"batch has to be at least 1, got {self.batch}")
        if not 0 <= self.wait <= 10:
            raise UsageError(f"wait has to be between 0 and 10 s, got {self.wait:g}")
        if not 0 <= self.port <= 65535:
            raise UsageError(f"a port is a number from 0 to 65535, got {self.port}")
        if self.files > self.queue:
            raise UsageError(
                f"a request of {self.files} files never fits in a queue of {self.queue} images: "
                "raise --queue, or lower --max-files"
            )
        if self.body > self.held:
            raise UsageError(
                f"a request of {self.body:,} bytes never fits in the {self.held:,} bytes for all of them: "
                "raise --max-memory, or lower --max-body"
            )
        self._check_access()

    def _check_access(self) -> None:
        token = self.token
        if token and (len(token) < TOKEN_LENGTH or not token.isascii() or not token.isprintable() or " " in token):
            raise UsageError(
                f"ZOO_TOKEN needs at least {TOKEN_LENGTH} printable ASCII characters without spaces, got {len(token)}: "
                "'openssl rand -hex 24' makes one"
            )
        if not token and not self.insecure and not is_loopback(self.host):
            raise UsageError(
                f"{self.host} can be reached from other machines: set ZOO_TOKEN to a secret of at least "
                f"{TOKEN_LENGTH} characters, or insist with --insecure"
            )


def check_installed() -> None:
    """Raises `MissingExtraError` if a library of the extra `api` is not installed.

    >>> check_installed()
    """
    for library in _LIBRARIES:
        if find_spec(library) is None:
            raise MissingExtraError("zoo serve", library, "api")


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
