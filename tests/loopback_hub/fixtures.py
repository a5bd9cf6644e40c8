"""A Hub of this machine for each test, and the real `huggingface_hub` client that talks to it.

Fixtures:

- `hub`: the server (`loopback_hub.Server`), empty, and the client with an empty cache and no token. Its parts:
  `hub.url`, `hub.store` (`plant`, `read`, `files`, `[repo_id]`), `hub.faults.add(match, kind, times)`, `hub.log`
  [(method, path, user)], `hub.answers` [(method, path, status)], `hub.leaks`. At its end a test fails if the client
  sent its token to the place of the large files, or if the server itself failed.
- `token`: logs the client in as "tester" (HF_TOKEN), who may write to tester/* and to the organisation clinic/*.
- `read_token`, `other_token`: tokens of "tester" that only reads, and of the stranger "other"; no login.
- `login(token)`: logs the client in with that token, or out with None.
- `api`: the client's `HfApi`; short calls of the client are in `loopback_hub.calls`.
- `offline(True)`: as HF_HUB_OFFLINE=1 would be; `offline(False)` ends it.
- `client_env(**overrides)`: the environment of a fresh process: a new, empty HF_HOME, the present HF_TOKEN, and xet in
  use, unlike in this process (HF_HUB_DISABLE_XET="1" turns it off; None removes a variable).

The client reads HF_ENDPOINT, HF_HOME and HF_HUB_DISABLE_XET once, at its import (which Keras does too), so there is one
server a session, started before: `loopback_hub.session`. The cache's folder and offline mode are settings of
`huggingface_hub.constants` that it reads at each call: these are what the fixtures set. Nothing else of it is touched.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loopback_hub import OTHER_TOKEN, READ_TOKEN, WRITE_TOKEN, Server, session

_server = session.start()

Login = Callable[[str | None], None]
ClientEnv = Callable[..., dict[str, str]]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    from huggingface_hub import constants

    if _server.url != constants.ENDPOINT:
        pytest.fail(f"huggingface_hub was imported with HF_ENDPOINT={constants.ENDPOINT}, not {_server.url}")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf-cache"))
    _server.reset()
    yield _server
    assert not _server.leaks, f"the token went to the place of the large files: {_server.leaks}"
    assert not _server.errors, f"the server failed: {_server.errors}"


@pytest.fixture
def login(hub: Server, monkeypatch: pytest.MonkeyPatch) -> Login:
    def log_in(token: str | None) -> None:
        if token is None:
            monkeypatch.delenv("HF_TOKEN", raising=False)
        else:
            monkeypatch.setenv("HF_TOKEN", token)

    return log_in


@pytest.fixture
def token(login: Login) -> str:
    login(WRITE_TOKEN)
    return WRITE_TOKEN


@pytest.fixture
def read_token(hub: Server) -> str:
    return READ_TOKEN


@pytest.fixture
def other_token(hub: Server) -> str:
    return OTHER_TOKEN


@pytest.fixture
def api(hub: Server) -> Any:
    from huggingface_hub import HfApi

    return HfApi()


@pytest.fixture
def offline(hub: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    from huggingface_hub import constants

    return lambda on: monkeypatch.setattr(constants, "HF_HUB_OFFLINE", on)


@pytest.fixture
def client_env(hub: Server, tmp_path_factory: pytest.TempPathFactory) -> ClientEnv:
    def environment(**overrides: str | None) -> dict[str, str]:
        own = {name: value for name, value in os.environ.items() if name not in session.foreign(os.environ)}
        own |= session.client_environment(hub, tmp_path_factory.mktemp("hf-home"))
        if "HF_TOKEN" in os.environ:
            own["HF_TOKEN"] = os.environ["HF_TOKEN"]
        return {name: value for name, value in (own | overrides).items() if value is not None}

    return environment
