"""The socket that a service or a page listens on."""

from __future__ import annotations

import socket

from zoo.core.errors import UsageError
from zoo.service.settings import Settings


def listen(settings: Settings) -> socket.socket:
    """Returns a socket that listens on the address of the settings.

    Raises:
        UsageError: The address is in use, or none of this machine.

    >>> with listen(Settings(port=0)) as sock:
    ...     sock.getsockname()[0]
    '127.0.0.1'
    """
    host, port = settings.host, settings.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"cannot listen on {host} port {port}: {reason}; choose others by --host, --port") from None


def url_of(sock: socket.socket) -> str:
    """Returns the URL of a listening socket.

    >>> with listen(Settings(port=0)) as sock:
    ...     url_of(sock)[:17]
    'http://127.0.0.1:'
    """
    host, port = sock.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
