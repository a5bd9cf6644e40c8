"""Runs a Hub to try by hand: python -m loopback_hub --root FOLDER [--port N] [--xet]."""

import argparse
import threading

from . import USERS, serve


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loopback_hub", description="A Hugging Face Hub on this machine.")
    parser.add_argument("--root", required=True, help="a folder of its own: what is in it is replaced")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--xet", action="store_true", help="with a xet store; without it set HF_HUB_DISABLE_XET=1")
    given = parser.parse_args()
    with serve(given.root, port=given.port, xet=given.xet) as hub:
        print(f"export HF_ENDPOINT={hub.url}", flush=True)
        for token, user in USERS.items():
            print(f"HF_TOKEN={token}  # {user.name}, {user.role}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
