"""CSV and Parquet of the same tables."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zoo.inference import writers

FRAMES = [
    pd.DataFrame(
        {
            "image": [f"a,{i}.png", f"b{i}.png"],
            "probability": np.array(values, np.float32),
            "positive": pd.array(positive, "boolean"),
            "error": ["", "line\nof text"],
        }
    )
    for i, (values, positive) in enumerate([((1 / 3, 1e-7), (True, False)), ((np.nan, np.nan), (None, None))])
]


def write(folder, name):
    kind = writers.format_of(folder / name)
    pieces = folder / "pieces"
    pieces.write_bytes(b"".join(kind.piece(frame, first=i == 0) for i, frame in enumerate(FRAMES)))
    return kind.whole(pieces)


def test_csv_is_what_pandas_writes_of_the_whole_table(tmp_path):
    expected = pd.concat(FRAMES).to_csv(index=False, float_format="%.6g")
    assert write(tmp_path, "f.csv").read_text("utf-8") == expected


def test_parquet_holds_every_bit_and_the_kinds_of_the_columns(tmp_path, monkeypatch):
    pq = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow")
    monkeypatch.setattr(writers, "GROUP", 2)
    path = write(tmp_path, "f.parquet")
    schema = pq.read_schema(path)
    assert {name: str(schema.field(name).type) for name in schema.names} == {
        "image": "string", "probability": "float", "positive": "bool", "error": "string",
    }  # fmt: skip
    assert pq.ParquetFile(path).num_row_groups == 2
    pd.testing.assert_frame_equal(pd.read_parquet(path), pd.concat(FRAMES, ignore_index=True))


def test_another_ending_is_said(tmp_path):
    for name in ("f.xlsx", "f"):
        with pytest.raises(ValueError, match=r"\.csv or \.parquet"):
            writers.format_of(tmp_path / name)


def test_a_missing_pyarrow_is_said_with_what_installs_it(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(writers, "find_spec", lambda name: None if name == "pyarrow" else found(name))
    with pytest.raises(ImportError, match=r"xrayslam-zoo\[parquet\]"):
        writers.format_of(Path("f.parquet"))
    assert writers.format_of(Path("f.csv")).name == "csv"
