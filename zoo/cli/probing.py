"""A head of one's own on a model's frozen features: `zoo probe`."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo.cli.command import MODEL, NOT_A_DEVICE, add_replace, add_set, command, number, refuse_existing
from zoo.cli.serving import add_runtime, load_model
from zoo.cli.tables import add_table, table_spec
from zoo.core.errors import MissingExtraError
from zoo.core.home import release_dir


def add(commands: Any) -> None:
    """Adds the subcommand."""
    text = "fit a linear head for each finding on a model's frozen features, in minutes on a CPU; writes a release"
    sub = command(commands, "probe", _probe, text)
    sub.add_argument("model", help=MODEL)
    sub.add_argument("--data", type=Path, required=True, help="the table, or the folder of the table and the images")
    add_table(sub)
    sub.add_argument("--out", type=Path, required=True, metavar="RELEASE", help="folder of the release to write")
    sub.add_argument("--run", type=Path, help="folder of features, report and split (default: RELEASE-run)")
    sub.add_argument("--as", dest="name", default="", metavar="NAME", help="install it under this name")
    sub.add_argument("--data-name", default="", help="name of the data set, for the model card")
    text = "folds by patient, for the penalty, the cross-validated AUC and the learning curve (default: 5)"
    sub.add_argument("--folds", type=number(int, 2), default=5, metavar="K", help=text)
    text = "leave out the cross-validation over all images and the learning curve"
    sub.add_argument("--held-out-only", action="store_true", help=text)
    sub.add_argument("--balanced", action="store_true", help="give both classes of a finding the same total weight")
    add_set(sub, "probe")
    add_runtime(sub)
    add_replace(sub, "replace the release --out and the installed model --as if they exist")


def _probe(options: argparse.Namespace) -> int:
    from zoo.core.terminal import TerminalProgress
    from zoo.data.images.listing import check_exist
    from zoo.evaluation import report
    from zoo.runs import probe
    from zoo.training.probes.spec import ProbeSpec, with_overrides

    refuse_existing(options.out, options.replace)
    if options.name:
        refuse_existing(release_dir(options.name), options.replace)
    for module, library, extra in (("sklearn", "scikit-learn", "train"), ("tensorflow", "TensorFlow", "cpu")):
        if find_spec(module) is None:  # TensorFlow feeds the images, on every backend
            raise MissingExtraError("zoo probe", library, extra)
    spec = with_overrides(ProbeSpec(folds=options.folds, balanced=options.balanced), options.set)
    check_exist([options.data])  # before a model is fetched
    model = load_model(options)
    with TerminalProgress() as progress:
        outcome = probe.probe(
            model, options.data, options.out, progress,
            spec=spec, run=options.run, name=options.name, dataset=options.dataset, columns=table_spec(options),
            data_name=options.data_name, crossed=not options.held_out_only,
        )  # fmt: skip
    print(report.markdown(outcome.result))
    print(f"Report: {outcome.report}\nRelease: {outcome.release}")
    if options.name:
        from zoo.release.install import install

        install(outcome.release, options.name)
        print(f"Load it: zoo.load({options.name!r})   {NOT_A_DEVICE}")
    return 0
