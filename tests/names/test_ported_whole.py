"""`ported-ensemble` at full size: five files in their authors' formats, downloaded, converted, loaded, and offline.

ZOO_WHOLE_PORTS=1 python -m pytest tests/names/test_ported_whole.py
"""

import dataclasses
import os

import numpy as np
import port_files
import pytest
from benchmarks.peers import import_torch, import_torchxrayvision

import zoo
from zoo.core import home
from zoo.data.images.reading import read_image
from zoo.hub import download
from zoo.labels.findings import FINDINGS
from zoo.names import porting, published

#: A label of the sources -> the finding that it gives; of the others the names are equal, or there is none.
RENAMED = {"Effusion": "Pleural Effusion"}


@pytest.mark.real
@pytest.mark.skipif(not os.environ.get("ZOO_WHOLE_PORTS"), reason="minutes, gigabytes: set ZOO_WHOLE_PORTS to run it")
@pytest.mark.filterwarnings("ignore")
def test_it_downloads_converts_and_gives_the_means_of_the_authors_networks(tmp_path, monkeypatch):
    torch = import_torch()
    import_torchxrayvision()
    networks = port_files.write(tmp_path / "files")
    monkeypatch.setattr(download, "offline", lambda: False)
    monkeypatch.setattr(porting, "warn_user", lambda text: None)
    with port_files.served(tmp_path / "files") as (url, asked):
        for name, file in port_files.FILES.items():
            row = dataclasses.replace(published.PUBLISHED[name], urls=(f"{url}/{file}",), size=0, sha256="")
            monkeypatch.setitem(published.PUBLISHED, name, row)
        model = zoo.load("ported-ensemble")
        assert len(asked) == 5
    examples = sorted((home.INCLUDED / "images").glob("*.jpg"))
    (batch,) = model.stream(examples)
    pixels = np.stack([read_image(path, 224)[..., 0] for path in examples])
    given: dict[str, list[np.ndarray]] = {finding: [] for finding in FINDINGS}
    for name, network in networks.items():
        with torch.no_grad():
            logits = network(port_files.pixels(name, pixels)).numpy()
        for label, column in zip(published.PUBLISHED[name].findings, logits.T, strict=True):
            if (finding := RENAMED.get(label, label)) in given:
                given[finding].append(column)
    expected = np.stack([np.mean(each, axis=0) if each else np.full(3, np.nan) for each in given.values()], axis=1)
    silent = [finding for finding, each in given.items() if not each]
    assert set(model.spec.untrained) == set(silent) == {"No Finding", "Pleural Other", "Support Devices"}
    np.testing.assert_allclose(batch.logits, expected, atol=1e-4 * np.nanmax(np.abs(expected)))
    monkeypatch.setattr(download, "offline", lambda: True)
    (again,) = zoo.load("ported-ensemble").stream(examples)
    np.testing.assert_array_equal(again.logits, batch.logits)
