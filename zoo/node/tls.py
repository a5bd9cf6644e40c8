"""DICOM over TLS: the certificates of the node, and whose certificates it trusts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.core.errors import UsageError


@dataclass(frozen=True)
class Tls:
    """Certificates, as PEM files, for connections by TLS 1.2 or newer.

    Attributes:
        certificate: The node's own certificate, with the certificates between it and its authority if there are any.
            With it, images are received over TLS alone, and the node shows it where it sends.
        key: Its private key, without a passphrase.
        senders: Certificates, of senders or of their authorities: senders without one of these are refused.
        archive: Certificates, of the archive or of its authorities: results are sent over TLS alone, to an archive that
            shows a certificate of these for the host it is called by.

    Raises:
        UsageError: Two belong together and one is missing.

    Example:
        >>> Tls().receives, Tls().sends
        (False, False)
        >>> Tls(senders=Path("ca.pem"))
        Traceback (most recent call last):
        ...
        zoo.core.errors.UsageError: certificates of senders (--tls-senders) are checked over TLS alone: give \
--tls-cert and --tls-key as well
    """

    certificate: Path | None = None
    key: Path | None = None
    senders: Path | None = None
    archive: Path | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise UsageError("a certificate and its private key belong together: give both --tls-cert and --tls-key")
        if self.senders is not None and self.certificate is None:
            raise UsageError(
                "certificates of senders (--tls-senders) are checked over TLS alone: give --tls-cert and --tls-key as "
                "well"
            )

    @property
    def receives(self) -> bool:
        """Whether images are received over TLS."""
        return self.certificate is not None

    @property
    def sends(self) -> bool:
        """Whether results are sent over TLS."""
        return self.archive is not None

    def receiving(self) -> ssl.SSLContext | None:
        """The context for those that send images; None if they send without TLS.

        Raises:
            UsageError: A file cannot be read or is of another kind.
        """
        if not self.receives:
            return None
        context = Receiving(ssl.PROTOCOL_TLS_SERVER)
        self._show(context)
        if self.senders is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            _trust(context, self.senders)
        return context

    def sending(self) -> Sending | None:
        """The context for the archive; None if it is reached without TLS.

        Raises:
            UsageError: A file cannot be read or is of another kind.
        """
        if self.archive is None:
            return None
        context = Sending(ssl.PROTOCOL_TLS_CLIENT)  # which checks the certificate and the host
        self._show(context)
        _trust(context, self.archive)
        return context

    def _show(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is None or self.key is None:
            return
        for path in (self.certificate, self.key):
            _check_file(path)
        try:
            context.load_cert_chain(self.certificate, self.key, _no_passphrase)
        except ssl.SSLError as error:
            raise UsageError(
                f"{self.certificate} and {self.key} are no certificate with its private key in PEM ({reason(error)})"
            ) from None


#: Without certificates, and so without TLS.
PLAIN = Tls()


class Receiving(ssl.SSLContext):
    """A context whose handshakes are done when a connection is first read.

    pynetdicom does them where connections are accepted, one after the other: one that says nothing would keep out all
    others.
    """

    def wrap_socket(self, sock: Any, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """As `ssl.SSLContext.wrap_socket`, without the handshake."""
        return super().wrap_socket(sock, *arguments, **{**options, "do_handshake_on_connect": False})


class Sending(ssl.SSLContext):
    """A context that remembers why its last handshake failed, of which pynetdicom says nothing.

    Attributes:
        failure: The reason; "" if no handshake failed.
    """

    failure: str = ""

    def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
        """As `ssl.SSLContext.wrap_socket`."""
        self.failure = ""
        return super().wrap_socket(*arguments, **options)


class _Socket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except ssl.SSLError as error:
            assert isinstance(self.context, Sending)
            self.context.failure = reason(error)
            raise


Sending.sslsocket_class = _Socket


def reason(error: ssl.SSLError) -> str:
    """Why a handshake failed, in OpenSSL's words and without its numbers.

    >>> reason(ssl.SSLError(1, "[SSL: HTTP_REQUEST] http request (_ssl.c:1)"))
    'http request'
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    text = str(error.args[-1] if error.args else error)
    return text.partition("] ")[2].partition(" (_ssl")[0] or text.partition(" (_ssl")[0]


def _trust(context: ssl.SSLContext, path: Path) -> None:
    _check_file(path)
    try:
        context.load_verify_locations(path)
    except ssl.SSLError as error:
        raise UsageError(f"{path} has no certificates in PEM ({reason(error)})") from None


def _check_file(path: Path) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None


def _no_passphrase() -> str:
    raise UsageError("the private key has a passphrase, which a node cannot be asked for: store it without one")
