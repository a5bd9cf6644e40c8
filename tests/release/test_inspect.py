"""What a release says of itself without being loaded, and the checks that try all that it promises."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from builders import FINDINGS3, tiny_release, tiny_spec
from safetensors.numpy import load_file, save_file

from zoo.config.specs import to_dict
from zoo.core import files
from zoo.core.errors import ReleaseError
from zoo.evaluation.report import evaluate
from zoo.evaluation.scores import Scores
from zoo.release import manifest
from zoo.release.inspect import Inspection, inspect
from zoo.release.read import read_release
from zoo.release.verify import Check, verify

#: The split that the tiny release's decision is fitted on.
SPLIT = "5" * 64
CHECKS = [
    *("manifest", "files", "schemas", "config", "decision", "parameters", "weights", "parity", "exports"),
    *("trained on", "gate", "tested", "metrics", "split"),
    "card",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    rng = np.random.default_rng(0)
    labels = (rng.random((60, 3)) < 0.4).astype(np.float32)
    scores = Scores(rng.normal(0, 1, labels.shape) + labels, labels, FINDINGS3, "test", SPLIT)
    provenance = {
        "recipe": {"name": "tiny-run", "ensemble": to_dict(tiny_spec())},
        "split": {"by": "patient", "seed": 3, "hash": SPLIT},
        "seed": 7,
        "zoo": "0.1.0",
        "backend": "jax",
        "date": "2026-01-31",
    }
    return tiny_release(
        tmp_path_factory.mktemp("releases") / "tiny",
        metrics=evaluate({"tiny-ensemble": scores}),
        provenance=provenance,
        license="cc-by-4.0",
        card="---\nlicense: cc-by-4.0\n---\n# tiny\n",
    )


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def agree(folder):
    """Brings the manifest up to the files, as whoever releases wrong files on purpose would."""
    listing = json.loads((folder / manifest.MANIFEST).read_text())
    listing["files"] = manifest.to_json(manifest.describe(folder))
    (folder / manifest.MANIFEST).write_text(json.dumps(listing))


def rewrite(folder, name, change):
    document = json.loads((folder / name).read_text())
    change(document)
    (folder / name).write_text(json.dumps(document))
    if name != manifest.MANIFEST:
        agree(folder)


def reweigh(folder, change):
    """Other weights of the first member: `change` gets name -> array."""
    path = folder / "tiny0.safetensors"
    tensors = {name: value.copy() for name, value in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    agree(folder)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def states(found: Inspection) -> dict[str, str]:
    return {file.name: file.state for file in found.files}


def test_inspect_says_what_a_release_is(folder):
    found = inspect(folder)
    assert found.problems == ()
    assert (found.name, found.image_size, found.findings) == ("tiny-ensemble", 32, FINDINGS3)
    assert [m.name for m in found.members] == ["tiny0", "tiny1"]
    assert found.format_version == 1
    assert set(found.versions) == {"zoo", "keras"}
    assert found.license == "cc-by-4.0"
    assert found.storage.dtype == "float32"
    assert found.parameters == read_release(folder).parameters
    assert found.provenance["recipe"] == "tiny-run"
    assert SPLIT in found.provenance["split"]
    assert found.manifest_sha256 == files.sha256(folder / manifest.MANIFEST)
    assert set(states(found).values()) == {"ok"}
    assert {f.name: f.size for f in found.files}["config.json"] == (folder / "config.json").stat().st_size
    assert (found.extra, found.unsafe) == ({}, ())
    text = "\n".join(found.lines())
    for word in ("tiny-ensemble", "tiny1", "32 x 32", "cc-by-4.0", "tiny-run", "seed 3", "config.json", "float32"):
        assert word in text


def test_inspect_takes_a_release_and_its_source(folder):
    pulled = read_release(folder, source="hf://owner/tiny@" + "a" * 40)
    found = inspect(pulled)
    assert (found.folder, found.source) == (folder, pulled.source)


def test_inspect_reads_no_weights_and_no_keras(folder):
    code = (
        "import sys; from zoo.release.inspect import inspect; found = inspect(sys.argv[1]); "
        "assert found.problems == (), found.problems; "
        "sys.exit(any(m.split('.')[0] in ('keras', 'tensorflow', 'jax', 'torch') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode == 0


def test_an_edited_card_is_noted_and_no_problem(copy):
    (copy / "README.md").write_text("# Edited by hand\n")
    found = inspect(copy)
    assert states(found)["README.md"] == "edited"
    assert found.problems == ()
    (copy / "README.md").unlink()
    assert states(inspect(copy))["README.md"] == "missing"


def test_altered_missing_and_remote_files_are_told_apart(copy):
    flip(copy / "tiny0.safetensors")
    (copy / "tiny1.safetensors").unlink()
    found = inspect(copy)
    assert states(found)["tiny0.safetensors"] == "altered"
    assert states(found)["tiny1.safetensors"] == "missing"
    assert len(found.problems) == 2
    assert "tiny0.safetensors: altered" in found.problems[0]
    there = inspect(copy, others={"tiny1.safetensors": 1234, "notes.txt": 5})
    assert states(there)["tiny1.safetensors"] == "remote"
    assert there.extra == {"notes.txt": 5}
    assert len(there.problems) == 1


@pytest.mark.timeout(60)
def test_files_that_the_manifest_does_not_list_are_named_and_never_opened(copy):
    # Whoever opens a pipe waits for its other end.
    os.mkfifo(copy / "model.pkl")
    (copy / "code").mkdir()
    (copy / "code" / "run.py").write_text("import os")
    (copy / "notes.txt").write_text("hello")
    found = inspect(copy)
    assert found.extra == {"code/run.py": 9, "model.pkl": 0, "notes.txt": 5}
    assert found.unsafe == ("code/run.py", "model.pkl")
    assert found.problems == ()
    assert [check.name for check in verify(copy, members=[]) if check.name == "files" and not check.ok] == []


def test_links_that_lead_out_are_refused(copy, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (copy / "link.json").symlink_to(tmp_path / "secret.json")
    rewrite(copy, manifest.MANIFEST, lambda d: d["files"].update({"link.json": {"size": 2, "sha256": "0" * 64}}))
    found = inspect(copy)
    assert states(found)["link.json"] == "refused"
    assert any("leads outside" in problem for problem in found.problems)
    (copy / "config.json").unlink()
    (copy / "config.json").symlink_to(tmp_path / "secret.json")
    assert inspect(copy).name == ""


def test_what_lies_beside_a_snapshot_is_within_its_root(copy, tmp_path):
    """As the Hub's client keeps it: links in the snapshot, the files beside it."""
    blobs, snapshot = tmp_path / "cache" / "blobs", tmp_path / "cache" / "snapshots" / "main"
    snapshot.mkdir(parents=True)
    shutil.copytree(copy, blobs)
    for path in blobs.iterdir():
        (snapshot / path.name).symlink_to(path)
    (blobs / "more.txt").write_text("12345")
    (snapshot / "more.txt").symlink_to(blobs / "more.txt")
    found = inspect(snapshot, root=tmp_path / "cache")
    assert found.problems == ()
    assert found.extra == {"more.txt": 5}
    stray = inspect(snapshot)
    assert (stray.name, stray.files) == ("", ())
    assert "'manifest.json' leads outside" in stray.problems[-1]
    assert all(check.ok for check in verify(snapshot, root=tmp_path / "cache"))


def test_metrics_of_other_findings_are_refused_when_they_are_read(copy):
    rewrite(copy, "metrics.json", lambda d: d["findings"].pop(FINDINGS3[0]))
    with pytest.raises(ReleaseError, match="its findings are not the model's"):
        _ = read_release(copy).evaluation


def test_a_broken_release_still_tells_what_it_can(copy):
    rewrite(copy, "decision.json", lambda d: d["ensemble"].update(temperature=[-1.0]))
    found = inspect(copy)
    assert found.name == "tiny-ensemble"
    assert found.problems == ("decision.json: ensemble.temperature.0: -1.0 is not > 0",)
    rewrite(copy, "decision.json", lambda d: d["ensemble"].update(temperature=[1.0, 2.0]))
    assert "temperature must be 1 or 3" in inspect(copy).problems[0]
    (copy / manifest.MANIFEST).write_text("<html>404</html>")
    found = inspect(copy)
    assert (found.name, found.files, found.manifest_sha256) == ("tiny-ensemble", (), "")
    assert "HTML page" in "\n".join(found.problems)
    (copy / "config.json").write_bytes(b"\x00\xff")
    assert inspect(copy).name == ""


def test_a_folder_with_unsafe_formats_alone_is_no_release(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"PK")
    found = inspect(tmp_path)
    assert found.unsafe == ("model.keras",)
    assert "'manifest.json' is missing" in "\n".join(found.problems)
    with pytest.raises(FileNotFoundError, match="no release folder"):
        inspect(tmp_path / "nowhere")


def test_lines_of_a_hostile_release_cannot_move_the_cursor(copy):
    rewrite(copy, "config.json", lambda d: d["ensemble"].update(name="\x1b[2J" + "x" * 5000))
    rewrite(copy, manifest.MANIFEST, lambda d: d.update(license="\x1b]0;title\x07\nok"))
    rewrite(copy, manifest.MANIFEST, lambda d: d["files"].update({"\x1b[31mred": {"size": 1, "sha256": "\r\n"}}))
    lines = inspect(copy).lines() + [check.detail for check in verify(copy)]
    assert all(line.isprintable() and len(line) < 1000 for line in lines)


def test_verify_passes_a_whole_release(folder):
    checks = verify(folder)
    assert [check.name for check in checks] == CHECKS
    assert [check for check in checks if not check.ok] == []
    detail = {check.name: check.detail for check in checks}
    assert "3 findings" in detail["config"]
    assert "differ by" in detail["parity"]
    assert "as it was released" in detail["card"]
    assert "test part" in detail["metrics"]


def test_verify_of_one_member_needs_only_its_weights(copy):
    (copy / "tiny0.safetensors").unlink()
    assert [check.name for check in verify(copy, ["tiny1"]) if not check.ok] == []
    assert [check.name for check in verify(copy) if not check.ok] == ["files", "parameters", "weights", "parity"]
    assert "Known: tiny0, tiny1" in {c.name: c.detail for c in verify(copy, ["tiny"])}["parameters"]


def spoil_head(tensors):
    kernel = next(name for name in tensors if name.startswith("head") and name.endswith("kernel"))
    tensors[kernel] *= 1.5


def rename_a_tensor(tensors):
    tensors["stranger"] = tensors.pop(next(iter(tensors)))


def fit_on_test(decisions):
    decisions["members"]["tiny0"]["operating_points"]["max_f1"]["origin"]["split"] = "test"


def fit_on_another_split(decisions):
    decisions["ensemble"]["temperature_origin"] = {"recipe": "nll", "split": "validation", "split_hash": "2" * 64}


def hash_another_split(listing):
    listing["provenance"]["split"]["hash"] = "1" * 64


#: Name -> (what is done to the folder, check -> what it says).
DAMAGES = {
    "an altered weight": (
        lambda f: flip(f / "tiny0.safetensors"),
        {
            "files": "tiny0.safetensors: altered",
            "parameters": "tiny0",
            "weights": "not checked",
            "parity": "not checked",
        },
    ),
    "files altered beside the weights": (
        lambda f: (flip(f / "parity.safetensors"), (f / "metrics.json").write_text("{}")),
        {"files": "metrics.json", "parity": "parity.safetensors: altered"},
    ),
    "another network's weights": (lambda f: reweigh(f, spoil_head), {"parity": "it is another network"}),
    "a weight that is NaN": (
        lambda f: reweigh(f, lambda t: next(iter(t.values())).fill(np.nan)),
        {"weights": "tiny0", "parity": "not checked"},
    ),
    "a tensor of another name": (
        lambda f: reweigh(f, rename_a_tensor),
        {"weights": "stranger", "parity": "not checked"},
    ),
    "another number of parameters": (
        lambda f: rewrite(f, manifest.MANIFEST, lambda d: d["parameters"].update(tiny1=40_000)),
        {"parameters": "the manifest says 40,000", "weights": "not checked", "parity": "not checked"},
    ),
    "another split, a decision of the test part, a broken card": (
        lambda f: (
            rewrite(f, "parity.json", lambda d: d.update(images="x")),
            rewrite(f, "decision.json", fit_on_test),
            rewrite(f, manifest.MANIFEST, hash_another_split),
            (f / "README.md").write_text("---\na: [\n---\n"),
        ),
        {
            "schemas": "parity.json: images",
            "parity": "parity.json: images",
            "metrics": "the provenance is of 111111111111",
            "split": "fitted on reported images",
            "card": "not YAML",
        },
    ),
    "no split, a temperature of another one, an unfinished card": (
        lambda f: (
            rewrite(f, "decision.json", fit_on_another_split),
            rewrite(f, manifest.MANIFEST, lambda d: d["provenance"].pop("split")),
            (f / "README.md").write_text("---\nlicense: mit\n"),
        ),
        {"metrics": "names no split", "split": "which may hold reported images", "card": "has no end"},
    ),
    "a decision of nobody, metrics of other findings, no card": (
        lambda f: (
            rewrite(f, "decision.json", lambda d: d["members"].update(ghost=d["ensemble"])),
            rewrite(f, "metrics.json", lambda d: d["findings"].pop("Edema")),
            (f / "README.md").unlink(),
        ),
        {"decision": "'ghost' is no member", "metrics": "findings", "split": "not checked", "card": "missing"},
    ),
    "labels in another order": (
        lambda f: rewrite(f, "labels.json", lambda d: d["findings"].reverse()),
        {"config": "the order of them"}
        | dict.fromkeys(("decision", "parameters", "weights"), "not checked")
        | dict.fromkeys(("parity", "exports", "metrics", "split"), "not checked"),
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_verify_names_what_is_wrong_and_goes_on(copy, name):
    damage, says = DAMAGES[name]
    damage(copy)
    checks = verify(copy)
    assert [check.name for check in checks] == CHECKS
    assert {check.name for check in checks if not check.ok} == set(says)
    for check in checks:
        assert "\n" not in check.detail
        assert says.get(check.name, "") in check.detail


def test_an_edited_card_passes_with_a_word(copy):
    (copy / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Mine\n")
    assert verify(copy, members=["tiny0"])[-1] == Check(
        "card", True, "README.md was edited since; its front matter can be read"
    )


def test_without_its_manifest_the_rest_is_not_checked(copy):
    (copy / manifest.MANIFEST).unlink()
    checks = verify(copy)
    assert not any(check.ok for check in checks)
    assert checks[1].detail == "not checked, since 'manifest' failed"
    with pytest.raises(FileNotFoundError, match="no release folder"):
        verify(copy / "nowhere")
