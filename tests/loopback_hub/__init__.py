"""A Hugging Face Hub on this machine, for tests with the unpatched client.

    with serve(folder) as hub:
        # HF_ENDPOINT=hub.url, set before huggingface_hub is imported
        commit = hub.store.plant("tester/model", {"config.json": b"{}"})

`python -m loopback_hub --root FOLDER` (in tests/) runs one to try by hand.

It speaks what the client asks for: accounts, repos and their settings, listings, references, uploads by LFS (in one
piece or in parts) and by xet, commits, pull requests, downloads with ranges. Tokens have roles; private repos are
hidden and gated ones shut. `faults` makes it fail as networks and servers do.
"""

from .access import OTHER_TOKEN, READ_TOKEN, USERS, WRITE_TOKEN, User
from .server import Server, serve

__all__ = ["OTHER_TOKEN", "READ_TOKEN", "USERS", "WRITE_TOKEN", "Server", "User", "serve"]
