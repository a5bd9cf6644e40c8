"""`BatchPredictor`: batches of paths, addresses, contents and arrays; sent to other processes by name."""

import pickle

import numpy as np
import pandas as pd
import pytest
import standin

from zoo.core.errors import ImageError, ReleaseError, UsageError
from zoo.data.images.limits import Limits
from zoo.inference.batch import BatchPredictor
from zoo.inference.predictor import Predictor
from zoo.inference.remote import predictions, read_address

COLUMNS = ["Atelectasis", "Edema", "No Finding", "error", "quality", "reason"]


@pytest.fixture
def loads(monkeypatch):
    """The stand-in under any name; the names that were loaded."""
    found = []

    def load(name, options):
        found.append((name, options.runtime))
        return standin.predictor()

    monkeypatch.setattr(Predictor, "load", load)
    monkeypatch.setattr("zoo.inference.batch._loaded", {})
    return found


@pytest.fixture
def paths(tmp_path):
    return sorted(map(str, standin.make_films(tmp_path / "films", 6).rglob("*.png")))


def test_paths_contents_and_arrays_give_the_same_in_the_form_of_the_batch(loads, paths):
    model = BatchPredictor("m")
    expected = standin.predictor().predict(paths)
    by_path = model({"path": np.array(paths, object), "id": np.arange(6)})
    assert list(by_path) == ["path", "id", *COLUMNS]
    got = np.stack([by_path[name] for name in COLUMNS[:3]], axis=1)
    np.testing.assert_array_equal(got, expected)
    assert got.dtype == np.float32
    assert (by_path["error"] != "").tolist() == np.isnan(expected[:, 0]).tolist()
    table = pd.DataFrame({"bytes": [open(path, "rb").read() for path in paths], "id": range(6)}, index=range(10, 16))  # noqa: PTH123,SIM115
    by_content = model(table)
    assert isinstance(by_content, pd.DataFrame)
    assert list(by_content.columns) == ["id", *COLUMNS]
    assert list(by_content.index) == list(range(10, 16))
    np.testing.assert_array_equal(by_content[COLUMNS[:3]].to_numpy(np.float32), expected)
    np.testing.assert_array_equal(model.probabilities(paths), expected)
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32), dtype=np.uint8)
    arrays = model({"image": pixels})
    np.testing.assert_array_equal(arrays["Edema"], standin.predictor().predict(list(pixels))[:, 1])
    assert "image" not in arrays
    assert loads == [("m", "keras")]


def test_a_copy_in_another_process_loads_by_name_and_a_missing_image_is_an_error(loads, paths):
    model = pickle.loads(pickle.dumps(BatchPredictor("m", runtime="onnx", limits=Limits(bytes=1))))
    assert loads == []
    found = model({"bytes": [None, float("nan")]})
    assert all("empty" in error for error in found["error"])
    assert loads == [("m", "onnx")]
    assert all("at most" in error or "empty" in error for error in model({"path": paths})["error"])
    empty = model({"path": np.array([], object)})
    assert [len(values) for values in empty.values()] == [0] * 7


def test_addresses_are_read_and_those_that_cannot_be_are_rows_with_their_names(loads, paths):
    import fsspec

    store = fsspec.filesystem("memory")
    with open(paths[0], "rb") as file:  # noqa: PTH123
        store.pipe("/x/good.png", file.read())
    store.pipe("/x/bad.png", b"text")
    places = ["memory://x/good.png", "memory://x/bad.png", "memory://x/none.png", paths[0]]
    found = BatchPredictor("m")({"path": places})
    assert found["Edema"][0] == found["Edema"][3]
    assert found["error"][0] == found["error"][3] == ""
    assert found["error"][1].startswith("memory://x/bad.png: ")
    assert found["error"][2].startswith("memory://x/none.png: cannot be read (FileNotFoundError")
    (batch,) = predictions(standin.predictor(), places, 4)
    assert batch.names == places
    with pytest.raises(ImageError, match=r"good.png: a file of [0-9,]{3,} bytes; at most 10 bytes"):
        read_address("memory://x/good.png", Limits(bytes=10))


def test_another_release_and_a_batch_without_images_are_refused(loads, paths):
    with pytest.raises(ReleaseError, match="m is another release here"):
        BatchPredictor("m", manifest_sha256="6" * 64).probabilities(paths)
    assert BatchPredictor("m", manifest_sha256="5" * 64).probabilities(paths).shape == (6, 3)
    with pytest.raises(UsageError, match=r"no column 'image' or 'bytes' or .*; the batch has 'file': give column="):
        BatchPredictor("m")({"file": paths})
    assert BatchPredictor("m", column="file")({"file": paths})["file"] == paths
    with pytest.raises(UsageError, match="already has columns of these names: error"):
        BatchPredictor("m")({"path": paths, "error": paths})
