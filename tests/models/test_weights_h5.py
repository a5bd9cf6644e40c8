"""Keras' weights files, whole and damaged, read by a child that may hang or die."""

import dataclasses
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.core.errors import WeightsError
from zoo.models.ensemble import Ensemble
from zoo.models.weights.files import load_safetensors, named_weights
from zoo.models.weights.h5 import convert

SPEC = EnsembleSpec(
    "two",
    (MemberSpec("tiny"), MemberSpec("tiny", head="gem", alias="other")),
    image_size=32,
    findings=("Edema", "Mass"),
)


@pytest.fixture(scope="module")
def model(fill: Any) -> Ensemble:
    return fill(Ensemble.from_spec(SPEC))


@pytest.fixture
def path(model: Ensemble, tmp_path: Path) -> Path:
    model.save_weights(tmp_path / "best.weights.h5")
    return tmp_path / "best.weights.h5"


def refused(path: Path, message: str, spec: EnsembleSpec = SPEC, **limits: float) -> None:
    """`convert` says why in one line, and leaves nothing behind."""
    folder = path.parent / "out"
    with pytest.raises(WeightsError, match=message) as error:
        convert(path, spec, folder, **limits)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    assert not folder.exists() or list(folder.iterdir()) == []


def test_every_member_gets_its_file(model: Ensemble, path: Path, tmp_path: Path) -> None:
    convert(path, SPEC, tmp_path / "new" / "out")
    assert sorted(p.name for p in (tmp_path / "new" / "out").iterdir()) == ["other.safetensors", "tiny.safetensors"]
    again = Ensemble.from_spec(SPEC)
    for member in again.members:
        load_safetensors(member, tmp_path / "new" / "out" / f"{member.name}.safetensors")
    expected = named_weights(model)
    for name, variable in named_weights(again).items():
        ours, theirs = (keras.ops.convert_to_numpy(v) for v in (variable, expected[name]))
        np.testing.assert_array_equal(ours, theirs, err_msg=name)


def test_weights_of_another_model(path: Path) -> None:
    message = (
        r"was not converted: it is of another model: it holds 45 weights, the model 45; "
        r"4 shapes are the file's alone \(\(64, 2\), \(2,\)\), 4 the model's \(\(64, 3\), \(3,\)\)"
    )
    refused(path, message, dataclasses.replace(SPEC, findings=("Edema", "Mass", "Nodule")))


def first_weights(file: h5py.File) -> h5py.Group:
    """The group of the first layer's weights, which are called "0" and so on."""
    found: list[h5py.Group] = []
    file.visititems(lambda name, item: found.append(item) if name.endswith("/vars") and len(item) else None)
    return found[0]


def cut_off(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def soft_link(path: Path) -> None:
    with h5py.File(path, "a") as file:
        weights = first_weights(file)
        weights.move("0", "real")
        weights["0"] = h5py.SoftLink(f"{weights.name}/real")


def external_link(path: Path) -> None:
    with h5py.File(path.with_name("other.h5"), "w") as other, h5py.File(path, "a") as file:
        weights = first_weights(file)
        other["secret"] = weights["0"][()]
        del weights["0"]
        weights["0"] = h5py.ExternalLink("other.h5", "/secret")


def external_storage(path: Path) -> None:
    path.with_name("secret.bin").write_bytes(bytes(64))
    with h5py.File(path, "a") as file:
        weights = first_weights(file)
        del weights["0"]
        weights.create_dataset("0", (16,), "float32", external=[(str(path.with_name("secret.bin")), 0, 64)])


def virtual(path: Path) -> None:
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["secret"] = np.zeros(16, "float32")
    with h5py.File(path, "a") as file:
        weights = first_weights(file)
        del weights["0"]
        layout = h5py.VirtualLayout((16,), "float32")
        layout[:] = h5py.VirtualSource(path.with_name("other.h5"), "secret", (16,))
        weights.create_virtual_dataset("0", layout)


def cycle(path: Path) -> None:
    with h5py.File(path, "a") as file:
        first_weights(file)["up"] = file["layers"]


def bomb(path: Path) -> None:
    with h5py.File(path, "a") as file:
        first_weights(file).create_dataset("more", (2**30, 2**10), "float32", chunks=(2**10, 2**10))


def words(path: Path) -> None:
    with h5py.File(path, "a") as file:
        first_weights(file)["more"] = ["words"]


@pytest.mark.parametrize(
    "damage, message",
    [
        (cut_off, "not readable as weights of 'two': .*truncated"),
        (soft_link, "vars/0 is a link"),
        (external_link, "vars/0 is a link"),
        (external_storage, "vars/0 lies in another file"),
        (virtual, "vars/0 lies in another file"),
        (cycle, "vars/up.* is a second name"),
        (bomb, r"vars/more of shape \(1073741824, 1024\) needs 4,398,046,511,104 bytes, it has 0"),
        (words, "vars/more holds no numbers"),
    ],
)
def test_damaged_files(damage: Callable[[Path], None], message: str, path: Path) -> None:
    damage(path)
    refused(path, f"was not converted: .*{message}")


def test_files_that_are_no_keras_weights(tmp_path: Path) -> None:
    page, pipe = tmp_path / "page.weights.h5", tmp_path / "pipe.weights.h5"
    page.write_text("<html>not found</html>")
    refused(page, r"is not a Keras weights file \(\.weights\.h5\): it is an HTML page")
    refused(tmp_path / "none.weights.h5", "no weights file at")
    os.mkfifo(pipe)
    refused(pipe, "no weights file at")  # and nobody waits for what never comes


def test_a_child_without_time_is_killed(path: Path) -> None:
    refused(path, r"reading was stopped after 0\.2 s", timeout_s=0.2)


def in_its_place(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the parent start a shell script where it would start Python."""
    file = folder / "python"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(file))


def test_a_child_that_hangs_is_killed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_its_place(f"echo $$ > {tmp_path}/pid; exec sleep 600", tmp_path, monkeypatch)
    refused(path, "reading was stopped after 2 s", timeout_s=2)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize(
    "script, message",
    [
        (f"kill -{signal.SIGSEGV.value} $$", "killed by SIGSEGV; the file is damaged"),
        ("echo first >&2; echo last words >&2; exit 1", "was not converted: last words$"),
        ("exit 7", "exit status 7 without a message"),
    ],
)
def test_a_child_that_dies(
    script: str, message: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_its_place(script, tmp_path, monkeypatch)
    refused(path, message)
