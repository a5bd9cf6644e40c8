"""The one server of a test session, and the client's environment, which it reads once, at its import."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from .server import Server, serve

_running: list[Server] = []


def start() -> Server:
    """The session's server; at the first call it starts, and the environment of this process is set to it.

    Nothing of the user's own (tokens, caches, the real Hub) is used by a test after this.

    Raises:
        RuntimeError: huggingface_hub is imported already, with another endpoint.
    """
    if not _running:
        if "huggingface_hub.constants" in sys.modules:
            raise RuntimeError("huggingface_hub was imported before loopback_hub.session.start(): start it earlier")
        root = Path(tempfile.mkdtemp(prefix="loopback-hub-"))
        server = serve(root / "hub", xet=True)
        atexit.register(shutil.rmtree, root, ignore_errors=True)
        atexit.register(server.close)
        _running.append(server)
        for name in foreign(os.environ):
            del os.environ[name]
        # Through xet the client keeps state of its own between tests: that way is for fresh processes.
        os.environ.update(client_environment(server, root / "home"), HF_HUB_DISABLE_XET="1")
    return _running[0]


def client_environment(server: Server, home: Path) -> dict[str, str]:
    """The variables with which a client uses this server, keeps everything under `home` and asks nobody else."""
    # A proxy that the machine uses cannot reach this machine's own addresses.
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    direct = ",".join(dict.fromkeys([*filter(None, direct.split(",")), "127.0.0.1", "localhost"]))
    return {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        "NO_PROXY": direct,
        "no_proxy": direct,
    }


def foreign(environment: dict[str, str] | os._Environ[str]) -> list[str]:
    """The variables of the user's own that the client would read."""
    prefixes = ("HF_", "HUGGINGFACE", "HUGGING_FACE", "TRANSFORMERS_OFFLINE")
    return [name for name in environment if name.startswith(prefixes)]
