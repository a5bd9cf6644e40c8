"""The whole road as a user goes it, by command line and `zoo.load`: publish, an empty cache, load, offline again."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from publishable import REPO, publishable_release

import zoo
from zoo.cli import main
from zoo.release import manifest

PREDICT = """
import sys, numpy as np, zoo, keras
predictor = zoo.load(sys.argv[1])
print("BACKEND", keras.config.backend(), "tensorflow" in sys.modules)
np.save(sys.argv[3], next(predictor.stream(list(np.load(sys.argv[2])))).logits)
"""


@pytest.fixture
def films(tmp_path):
    path = tmp_path / "films.npy"
    np.save(path, np.random.default_rng(5).integers(0, 256, (6, 32, 32, 1), dtype=np.uint8))
    return path


def load_elsewhere(reference: str, films: Path, environment: dict[str, str]) -> np.ndarray:
    out = films.with_name("logits.npy")
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, reference, str(films), str(out)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    backend, with_tensorflow = done.stdout.split("BACKEND ")[1].split()
    assert backend == environment["KERAS_BACKEND"]
    assert (with_tensorflow == "True") == (backend == "tensorflow")
    return np.load(out)


def test_published_then_loaded_from_an_empty_cache_on_each_backend_then_offline(
    hub, token, login, films, tmp_path, client_env, capsys
):
    # What TensorFlow wrote, where the leg without TensorFlow has it; else a release of this very process.
    folder = publishable_release(tmp_path / "release")
    assert main(["publish", str(folder), "--repo", REPO, "--public", "--tag", "v1", "--license", "apache-2.0"]) == 0
    shown = capsys.readouterr().out
    commit = hub.store[REPO].heads["main"]
    assert f"hf://{REPO}@{commit}" in shown
    assert "not a medical device" in shown
    ours = next(zoo.load(folder).stream(list(np.load(films)))).logits
    assert ours.std() >= 1.0
    login(None)
    for backend in ("tensorflow", "jax"):
        if not find_spec(backend):
            continue
        fresh = client_env(KERAS_BACKEND=backend, HF_HUB_DISABLE_XET="1")
        theirs = load_elsewhere(f"hf://{REPO}@v1", films, fresh)
        np.testing.assert_allclose(theirs, ours, atol=1e-4)
        hub.log.clear()
        again = load_elsewhere(f"hf://{REPO}@v1", films, fresh | {"HF_HUB_OFFLINE": "1"})
        assert hub.log == []
        np.testing.assert_array_equal(again, theirs)


def test_a_name_of_ones_own_is_pinned_loaded_and_forgotten(hub, token, films, tmp_path, capsys):
    folder = publishable_release(tmp_path / "release")
    assert main(["publish", str(folder), "--repo", REPO, "--license", "apache-2.0"]) == 0
    assert main(["catalog", "add", "clinic-model", f"hf://{REPO}"]) == 0
    commit = hub.store[REPO].heads["main"]
    capsys.readouterr()
    assert main(["catalog", "list"]) == 0
    assert capsys.readouterr().out == f"clinic-model  hf://{REPO}@{commit}\n"
    assert "clinic-model" in zoo.list_models(kind="ensemble")
    hub.log.clear()
    predictor = zoo.load("clinic-model")
    assert predictor.source == f"hf://{REPO}@{commit}"
    assert hub.log == [], "pinned and in the cache: nobody is asked"
    assert main(["catalog", "remove", "clinic-model"]) == 0
    assert main(["info", "clinic-model"]) == 1
    assert "clinic-model" in capsys.readouterr().err


def test_one_member_of_a_published_ensemble_is_all_that_is_fetched(hub, token, tmp_path):
    folder = publishable_release(tmp_path / "release")
    assert main(["publish", str(folder), "--repo", REPO, "--license", "apache-2.0"]) == 0
    hub.log.clear()
    with pytest.warns(UserWarning, match="is not pinned"):
        predictor = zoo.load(f"hf://{REPO}", members=["tiny1"])
    assert [m.name for m in predictor.model.members] == ["tiny1"]
    fetched = [path for method, path, _ in hub.log if method == "GET"]
    assert any("tiny1.safetensors" in path for path in fetched)
    assert not any("tiny0.safetensors" in path for path in fetched)


def test_without_a_token_the_files_and_the_card_are_shown_and_nothing_is_sent(hub, tmp_path, capsys):
    folder = publishable_release(tmp_path / "release")
    command = ["publish", str(folder), "--repo", REPO, "--license", "apache-2.0"]
    assert main(command) == 1
    out, err = capsys.readouterr()
    assert "nothing was published: there is no token" in err
    assert err.count("\n") == 1
    for name in (*manifest.read_json(folder / manifest.MANIFEST)["files"], manifest.MANIFEST):
        assert f"  {name}\n" in out
    assert "model-index" in out
    assert main([*command, "--dry-run"]) == 0
    assert hub.log == []


def test_verify_and_diff_by_name_and_by_reference(hub, token, tmp_path, capsys):
    folder = publishable_release(tmp_path / "release")
    assert main(["publish", str(folder), "--repo", REPO, "--license", "apache-2.0", "--tag", "v1"]) == 0
    capsys.readouterr()
    assert main(["verify", f"hf://{REPO}@v1"]) == 0
    assert "FAILED" not in capsys.readouterr().out
    assert main(["diff", f"hf://{REPO}@v1", f"hf://{REPO}@v1"]) == 0
    assert capsys.readouterr().out == "no difference\n"
    assert main(["diff", f"hf://{REPO}@v1", str(folder)]) == 0
    assert capsys.readouterr().out.startswith('provenance: license "apache-2.0" -> "cc-by-4.0"')
    weights = folder / "tiny0.safetensors"
    data = bytearray(weights.read_bytes())
    data[-3] ^= 1
    weights.write_bytes(data)
    assert main(["verify", str(folder)]) == 1
    assert "FAILED" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["nobody/../x", "https://example.org/a/b", "hf://a", "hf://a/b@../c"])
def test_what_cannot_be_a_reference_is_one_line_and_no_request(hub, argument, capsys):
    assert main(["verify", argument]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert hub.log == []


def test_the_token_is_in_no_output(hub, token, tmp_path, capsys):
    folder = publishable_release(tmp_path / "release")
    main(["publish", str(folder), "--repo", REPO, "--license", "apache-2.0"])
    main(["publish", str(folder), "--repo", "stranger/x", "--license", "apache-2.0"])
    out, err = capsys.readouterr()
    assert token not in out + err
    assert "stranger" in err
    assert os.environ["HF_TOKEN"] == token
