"""Writing and sharing releases: `zoo release`, `gate`, `port`, `install`, `publish`, `verify`, `diff`, `catalog`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from zoo.cli.command import NOT_A_DEVICE, add_json, add_replace, command, print_json, refuse_existing, refuse_unused
from zoo.cli.tables import add_table, table_spec
from zoo.core import home
from zoo.models.ports.kinds import PORTS
from zoo.release import licences


def add(commands: Any) -> None:
    """Adds the subcommands."""
    _add_folders(commands)
    _add_publish(commands)
    _add_checks(commands)
    _add_catalog(commands)


def _add_folders(commands: Any) -> None:
    sub = command(commands, "release", _release, "write a release from a finished run, or convert a release")
    sub.add_argument("source", help="folder of a finished run or of a release, or an installed name")
    sub.add_argument("--out", type=Path, required=True, help="folder of the new release")
    sub.add_argument(
        "--dtype",
        choices=("float32", "float16", "bfloat16"),
        help="number type of the stored weights (default: float32 for a run, the present type for a release)",
    )
    sub.add_argument("--license", default="", help=licences.HELP)
    add_replace(sub, "replace the release --out if it exists")
    sub = command(commands, "port", _port, "convert weights that others published to a model for zoo.load")
    sub.add_argument("source", help="weights file, hf://owner/repo[@revision], or a name of the catalog")
    sub.add_argument("--as", dest="name", required=True, help="name of the installed model")
    text = f"kind of file (default: found from the tensors): {', '.join(PORTS)}"
    sub.add_argument("--kind", metavar="KIND", help=text)
    sub.add_argument("--findings", help="names of the outputs in order, with commas, if the kind states none")
    text = f"{licences.HELP}; 'unknown' (default): the model loads, and `zoo publish` refuses it"
    sub.add_argument("--license", default="", help=text)
    add_replace(sub, "replace the installed model of this name")
    text = "write a copy of a release with quality checks of images, fitted on its training images or on your own"
    sub = command(commands, "gate", _gate, text)
    sub.add_argument("source", help="folder of a finished run or of a release, or an installed name")
    sub.add_argument("--data", type=Path, required=True, help="the table, or the folder of the table and the images")
    add_table(sub)
    sub.add_argument("--out", type=Path, required=True, help="folder of the new release")
    add_replace(sub, "replace the release --out if it exists")
    sub = command(commands, "install", _install, "install a run or a release under a name for zoo.load")
    sub.add_argument("source", help="folder of a finished run, or of a release")
    sub.add_argument("--as", dest="name", required=True, help="name of the installed model")
    add_replace(sub, "replace the installed model of this name")


def _add_publish(commands: Any) -> None:
    sub = command(
        commands, "publish", _publish, "publish a release on a Hub in one commit, and check it by downloading it again"
    )
    sub.add_argument("source", help="folder of a finished run or of a release, or an installed name")
    sub.add_argument("--repo", required=True, help="repository, as owner/name")
    seen = sub.add_mutually_exclusive_group()
    seen.add_argument(
        "--private",
        dest="private",
        action="store_true",
        default=None,
        help="private repository (default for a new one)",
    )
    seen.add_argument("--public", dest="private", action="store_false", default=None, help="public repository")
    sub.add_argument("--tag", default="", help="tag of the commit, such as v1")
    sub.add_argument("--license", default="", help=licences.HELP)
    sub.add_argument("--dry-run", action="store_true", help="show the files and the card without publishing")
    sub.add_argument("--pr", action="store_true", help="open a pull request instead of committing to main")
    text = (
        "also write the folder of a Space that shows the model as `zoo app` does, to be pushed to the Hub by yourself"
    )
    sub.add_argument("--space", type=Path, metavar="DIR", help=text)


def _add_checks(commands: Any) -> None:
    sub = command(commands, "verify", _verify, "verify a release: files, schemas, weights, golden logits")
    sub.add_argument("release", help="folder, installed name, or hf://owner/repo[@revision]")
    add_json(sub)
    sub = command(commands, "diff", _diff, "show what changed between two releases")
    sub.add_argument("a", help="folder, installed name, or hf://owner/repo[@revision]")
    sub.add_argument("b", help="the other release, in the same form")
    add_json(sub)


def _add_catalog(commands: Any) -> None:
    sub = command(commands, "catalog", _catalog, "manage your own names for releases on a Hub, each pinned to a commit")
    actions = sub.add_subparsers(dest="action", required=True, metavar="ACTION")
    sub.actions = actions.choices
    add_one = actions.add_parser("add", help="pin a release by its commit and the hash of its manifest")
    add_one.add_argument("name", help="your name for the release")
    add_one.add_argument("reference", help="hf://owner/repo[@revision]")
    add_replace(add_one, "replace an existing entry of this name")
    remove = actions.add_parser("remove", help="remove a name")
    remove.add_argument("name", help="name to remove")
    actions.add_parser("list", help="list the pinned names")


def _release(options: argparse.Namespace) -> None:
    from zoo.release import convert

    licence = licences.check_licence(options.license) if options.license else ""
    refuse_existing(options.out, options.replace)
    print(convert.release_of(options.source, options.out, dtype=options.dtype, license=licence))


def _gate(options: argparse.Namespace) -> None:
    from zoo.core.terminal import TerminalProgress
    from zoo.runs import gate

    refuse_existing(options.out, options.replace)
    with TerminalProgress() as progress:
        added = gate.add(
            options.source, options.data, options.out, progress, dataset=options.dataset, columns=table_spec(options)
        )
    print(f"{added.release}: quality checks fitted on {added.images:,} images of {added.patients:,} patients")


def _port(options: argparse.Namespace) -> None:
    from zoo.names import porting
    from zoo.release import port
    from zoo.release.folder import ReleaseFolder

    if porting.is_known(options.source):
        given = {"--kind": options.kind, "--findings": options.findings, "--license": options.license}
        refuse_unused(given, f"has no effect on {options.source}, of which the catalog states it")
    if options.source != options.name:  # by its own name, a model of the catalog is fetched once
        refuse_existing(home.release_dir(options.name), options.replace)
    findings = [name.strip() for name in options.findings.split(",")] if options.findings else None
    folder = porting.port(options.source, options.name, kind=options.kind, findings=findings, licence=options.license)
    print("\n".join(port.told(ReleaseFolder(folder))))
    print(f"converted and installed at {folder}; load it: zoo.load({options.name!r})   {NOT_A_DEVICE}")


def _install(options: argparse.Namespace) -> None:
    from zoo.release import install

    refuse_existing(home.release_dir(options.name), options.replace)
    folder = install.install(options.source, options.name)
    print(f"installed at {folder}; load it: zoo.load({options.name!r})")


def _publish(options: argparse.Namespace) -> int:
    from zoo.hub import publish
    from zoo.release import install

    licence = licences.check_licence(options.license) if options.license else ""
    done = publish.publish(
        install.local(options.source), options.repo,
        private=options.private, tag=options.tag, license=licence, dry_run=options.dry_run, pr=options.pr,
    )  # fmt: skip
    for file in done.files:
        print(f"{file.action:>8}  {file.size:>13,}  {file.sha256[:12]}  {file.name}")
    if done.dry_run:
        print(f"\n{done.card}")
        _space(options, "")
        if not options.dry_run:
            print(f"zoo publish: nothing was published: {done.why_dry}", file=sys.stderr)
        return 0 if options.dry_run else 1
    print(f"nothing new: {done.repo} is at {done.commit}" if done.nothing_new else f"published and checked: {done.url}")
    if done.pr_url:
        print(f"pull request: {done.pr_url}")
    print(f"Load it: zoo.load('hf://{done.repo}@{done.commit}')   {NOT_A_DEVICE}")
    _space(options, done.commit)
    return 0


def _space(options: argparse.Namespace, commit: str) -> None:
    from zoo.app.space import write_space

    if options.space is not None:
        folder = write_space(options.space, options.repo, commit)
        print(f"{folder}: folder of a Space that shows {options.repo}; push it to a Space of the Hub")


def _verify(options: argparse.Namespace) -> int:
    from zoo.names import sources

    checks = sources.verify(options.release)
    if options.json:
        print_json(checks)
    else:
        for check in checks:
            print(f"{'ok' if check.ok else 'FAILED':>6}  {check.name}: {check.detail}")
    return 0 if all(check.ok for check in checks) else 1


def _diff(options: argparse.Namespace) -> None:
    from zoo.names import sources
    from zoo.release import diff

    lines = diff.diff(sources.find(options.a, members=[]), sources.find(options.b, members=[]))
    if options.json:
        print_json(lines)
    else:
        print("\n".join(lines) if lines else "no difference")


def _catalog(options: argparse.Namespace) -> None:
    from zoo.hub import pins

    if options.action == "add":
        pin = pins.add_reference(options.name, options.reference, replace=options.replace)
        print(f"{options.name} is hf://{pin.repo}@{pin.revision}; load it: zoo.load({options.name!r})")
    elif options.action == "remove":
        pins.remove(options.name)
        print(f"{options.name} is forgotten")
    else:
        for name, pin in pins.read().items():
            print(f"{name}  hf://{pin.repo}@{pin.revision}")
