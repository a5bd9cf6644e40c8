"""`zoo node`: a DICOM node."""

from __future__ import annotations

import argparse
import logging
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli.command import MODEL, NOT_A_DEVICE, command, refuse_unused
from zoo.cli.serving import Numbers, add_limits, add_numbers, add_runtime, limits_of, load_model, log_lines
from zoo.core.errors import UsageError

if TYPE_CHECKING:
    from zoo.node.settings import Settings

#: The limits and times.
_NUMBERS: Numbers = (
    ("--quiet-time", float, 30.0, "S", "seconds without a new image after which a study is complete"),
    ("--max-spool", float, 20.0, "GB", "refuse images while the spool holds more, in gigabytes"),
    ("--max-objects", int, 10_000, "N", "refuse images while the spool holds more of them"),
    ("--max-associations", int, 4, "N", "reject associations while there are more"),
    ("--poll", float, 10.0, "S", "with --dicomweb: seconds between two questions"),
    ("--days", int, 1, "N", "with --dicomweb: look at studies of today and of this many days before"),
)

#: Certificates, as PEM files.
_TLS = {
    "--tls-cert": "receive images over TLS alone, with this certificate of the node (PEM); shown to the archive, too",
    "--tls-key": "its private key (PEM, without a passphrase)",
    "--tls-senders": "refuse senders without a certificate of these (PEM: theirs, or of their authorities)",
    "--tls-archive": "send results over TLS alone, to an archive with a certificate of these (PEM)",
}


def add(commands: Any) -> None:
    """Adds the command."""
    text = "take images from a PACS and send findings back as DICOM objects (extra `node`)"
    sub = command(commands, "node", _node, text)
    sub.add_argument("model", help=MODEL)
    add_runtime(sub)
    sub.add_argument("--aet", default="ZOO", help="own application entity title (default: ZOO)")
    sub.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine only)")
    sub.add_argument("--port", type=int, default=11112, help="port to listen on (default: 11112; 0: a free one)")
    sub.add_argument("--send-to", metavar="AET@HOST:PORT", help="where results go by C-STORE")
    text = "fetch studies from a DICOMweb server and store results there (its token: ZOO_DICOMWEB_TOKEN)"
    sub.add_argument("--dicomweb", metavar="URL", help=text)
    text = "title of a sender that is let in; give it again for each (default on 127.0.0.1: any title)"
    sub.add_argument("--allow", action="append", default=[], metavar="AET", help=text)
    text = "listen on an address that other machines can reach without --allow; send the token without encryption"
    sub.add_argument("--insecure", action="store_true", help=text)
    for option, text in _TLS.items():
        sub.add_argument(option, type=Path, metavar="FILE", help=text)
    sub.add_argument("--spool", type=Path, help="folder of what is not finished (default: node/AET in ZOO_HOME)")
    sub.add_argument("--point", help="operating point (default: the release's)")
    text = "findings whose heatmaps are sent (default: positive)"
    sub.add_argument("--heatmaps", default="positive", choices=("positive", "all", "none"), help=text)
    sub.add_argument("--captures", action="store_true", help="send each heatmap as a secondary capture, too")
    add_numbers(sub, _NUMBERS)
    add_limits(sub)


def _node(options: argparse.Namespace) -> int:
    from zoo.node.sending import Pacs
    from zoo.node.settings import Peer, check_installed, check_web

    settings = _settings(options)
    _check_options(options)
    limits, token = limits_of(options), os.environ.get("ZOO_DICOMWEB_TOKEN", "")
    archive = Pacs(Peer.parse(options.send_to), settings.aet, settings.tls) if options.send_to else None
    settings.tls.receiving()  # its files are read before the model
    check_installed()
    if options.dicomweb:
        check_web(options.dicomweb, token, options.insecure)
    from zoo.core.home import home
    from zoo.dicom import Wanted
    from zoo.node import running
    from zoo.node.dicomweb import Poller, WebServer

    log_lines(logging.INFO)
    predictor = load_model(options)
    predictor.limits = limits
    wanted = Wanted(options.point, options.heatmaps, options.captures)
    spool = options.spool or home() / "node" / options.aet
    if archive is not None:
        started = partial(_started, options.model, settings.aet)
        counts = running.run(predictor, spool, archive, settings, wanted, started)
    else:
        server = WebServer(options.dicomweb, token, limits.bytes)
        counts = running.run(
            predictor, spool, server, settings, wanted, partial(_started, options.model, options.dicomweb),
            lambda opened: Poller(server, opened, settings.quiet, options.poll, options.days),
        )  # fmt: skip
    kept = counts["receiving"] + counts["waiting"]
    print(f"stopped; studies done: {counts['done']}, kept for the next start: {kept}; images aside: {counts['aside']}")
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    from zoo.node.settings import Settings
    from zoo.node.tls import Tls

    return Settings(
        aet=options.aet, host=options.host, port=options.port, allow=tuple(options.allow), insecure=options.insecure,
        quiet=options.quiet_time, associations=options.max_associations, spool_objects=options.max_objects,
        spool_bytes=int(options.max_spool * 1e9),
        tls=Tls(options.tls_cert, options.tls_key, options.tls_senders, options.tls_archive),
    )  # fmt: skip


def _check_options(options: argparse.Namespace) -> None:
    """Refuses options of both roads or of neither, and those that belong to the other one, so that none is ignored."""
    if bool(options.send_to) == bool(options.dicomweb):
        raise UsageError("say where results go: --send-to AET@host:port, or --dicomweb URL")
    if options.captures and options.heatmaps == "none":
        raise UsageError("--captures draws heatmaps, and --heatmaps none makes none")
    default = {name: value for name, _, value, _, _ in _NUMBERS}
    if options.send_to:
        asking = {"--poll": options.poll != default["--poll"], "--days": options.days != default["--days"]}
        refuse_unused(asking, "is for --dicomweb: with --send-to, images come by themselves")
        return
    listening = {
        "--host": options.host != "127.0.0.1", "--port": options.port != 11112, "--allow": options.allow,
        "--max-associations": options.max_associations != default["--max-associations"],
        **{option: getattr(options, option[2:].replace("-", "_")) for option in _TLS},
    }  # fmt: skip
    refuse_unused(listening, "is for --send-to: with --dicomweb, nothing listens, and https:// encrypts")


def _started(model: str, who: str, port: int) -> None:
    where = f"{who} takes images for {model} on port {port}" if port else f"{model} looks for studies at {who}"
    print(f"{where}.   {NOT_A_DEVICE}", flush=True)
