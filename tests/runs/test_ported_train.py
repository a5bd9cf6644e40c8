"""`zoo train xrayslam_ported`: ports fetched, starts told and equal to the ports, one step of full-size networks."""

import dataclasses
from collections.abc import Iterator
from threading import Thread

import numpy as np
import port_sources
import pytest
from file_server import Server
from published_files import densenet
from safetensors.numpy import load_file, save

pytest.importorskip("tensorflow", reason="training reads its images through tf.data")

from zoo.cli import main
from zoo.config.pixels import NAMED
from zoo.core import home
from zoo.core.errors import TrainingError
from zoo.data.phantoms.drawing import make_phantoms
from zoo.hub import download
from zoo.models.weights.files import named_weights
from zoo.names import porting, published
from zoo.training import fitting
from zoo.training.jobs import plan
from zoo.training.optimizers import build_optimizer
from zoo.training.recipe import apply_overrides, load_recipe

SMALL = {
    "members": "separate",
    "ensemble.image_size": "32",
    "stages.0.batch_size": "2",
    "stages.1.batch_size": "2",
    "split.by": "patient",
    "precision": "float32",
}

#: Backbone of a member -> the port that it starts from.
STARTS = {"resnet50_v1_5": "xrv-resnet50-all", "densenet121": "xrv-densenet121-all"}


@pytest.fixture
def servers(monkeypatch) -> Iterator[list[Server]]:
    """Stand for the pages of the authors: files of the sources' names and shapes with made-up values."""
    monkeypatch.setattr(download, "offline", lambda: False)
    files = {
        "xrv-resnet50-all": save(port_sources.tensors(port_sources.resnet50(18, stem=1))),
        "xrv-densenet121-all": save(densenet(18, stem=1)),
    }
    started = []
    for name, content in files.items():
        started.append(Server(content))
        Thread(target=started[-1].http.serve_forever, daemon=True).start()
        url = started[-1].url.replace(".pt", ".safetensors")
        row = dataclasses.replace(published.PUBLISHED[name], urls=(url,), size=0, sha256="")
        monkeypatch.setitem(published.PUBLISHED, name, row)
    yield started
    for server in started:
        server.http.shutdown()
        server.http.server_close()


@pytest.mark.real
@pytest.mark.tensorflow_only
@pytest.mark.filterwarnings("ignore")
def test_its_members_start_from_ports(servers, tmp_path, monkeypatch, capsys):
    """Up to the first step, whose graph would take most of a minute: the next test takes it."""
    original, starts = fitting.build, {}

    def remembers(*job):
        starts.update(_values(original(*job)))
        raise TrainingError("it is built")

    monkeypatch.setattr(fitting, "build", remembers)
    data, run = tmp_path / "phantoms", tmp_path / "run"
    make_phantoms(data, 30, size=32, n_test=0, broken=0)
    changes = [f"{path}={value}" for path, value in SMALL.items()]
    options = [part for change in changes for part in ("--set", change)]
    assert main(["train", "xrayslam_ported", "--data", str(data), "--run", str(run), *options]) == 1
    said = capsys.readouterr()
    assert "it is built" in said.err
    assert "start from random weights: efficientnetb3" in said.out + said.err
    assert [len(server.requests) for server in servers] == [1, 1]
    _assert_is_the_port(starts, "resnet50_v1_5")

    recipe = apply_overrides(load_recipe("xrayslam_ported"), changes)
    recipe = dataclasses.replace(recipe, ensemble=porting.with_starts(recipe.ensemble))
    pixels = {member.backbone: member.pixels for member in recipe.ensemble.members}
    assert [pixels[name] for name in STARTS] == [NAMED["xrv"]] * 2
    job = next(job for job in plan(recipe, run) if job.title == "densenet121 stage1")
    _assert_is_the_port(_values(original(job)), "densenet121")


def _assert_is_the_port(found: dict[str, np.ndarray], backbone: str) -> None:
    released = load_file(home.release_dir(STARTS[backbone]) / f"{backbone}.safetensors")
    names = [name for name in released if name.startswith("backbone/")]
    assert sorted(names) == sorted(found)
    for name in names:
        np.testing.assert_array_equal(found[name], released[name], err_msg=f"{backbone}: {name}")


def _values(model) -> dict[str, np.ndarray]:
    """Copies of the weights below the head of an ensemble of one member."""
    (member,) = model.members
    return _values_of(member)


def _values_of(member) -> dict[str, np.ndarray]:
    return {f"backbone/{name}": np.array(variable) for name, variable in named_weights(member.backbone).items()}


@pytest.mark.real
@pytest.mark.tensorflow_only
@pytest.mark.filterwarnings("ignore")
def test_all_its_members_are_trained_jointly_from_their_ports(servers, tmp_path):
    """One step of two images without a graph, whose construction would take a minute."""
    changes = [f"{path}={value}" for path, value in (SMALL | {"members": "joint"}).items()]
    recipe = apply_overrides(load_recipe("xrayslam_ported"), changes)
    recipe = dataclasses.replace(recipe, ensemble=porting.with_starts(recipe.ensemble))
    (job, _) = plan(recipe, tmp_path)
    model = fitting.build(job)
    starts = {member.name: _values_of(member) for member in model.members}
    assert [*starts] == ["resnet50_v1_5", "efficientnetb3", "densenet121"]
    for backbone in STARTS:
        _assert_is_the_port(starts[backbone], backbone)

    model.compile(build_optimizer(model, job.stage, 1), "binary_crossentropy", run_eagerly=True)
    rng = np.random.default_rng(0)
    model.train_on_batch(rng.integers(0, 256, (2, 32, 32, 1), np.uint8), rng.integers(0, 2, (2, 14)).astype("float32"))
    for member in model.members:
        before, after = starts[member.name], _values_of(member)
        changed = sum((after[name] != value).any() for name, value in before.items())
        assert changed > 0.9 * len(before), (member.name, changed, len(before))
