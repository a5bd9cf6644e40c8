"""Ray and Spark themselves, on this machine alone: seconds of processor time, so only where they are asked for."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import numpy as np
import pytest
import standin
from builders import tiny_release

from zoo.cli import main
from zoo.inference.batch import BatchPredictor

asked = pytest.mark.skipif(
    os.environ.get("ZOO_TEST_ENGINES") != "1", reason="set ZOO_TEST_ENGINES=1 to start Ray and Spark on this machine"
)
with_ray = pytest.mark.skipif(not find_spec("ray"), reason="ray is not installed")
with_spark = pytest.mark.skipif(not (find_spec("pyspark") and which("java")), reason="needs pyspark and java")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(p for p in sys.path if p))
    standin.make_films(tmp_path / "films", 40)
    tiny_release(tmp_path / "release", members=1)
    return tmp_path


@asked
@with_ray
def test_ray_writes_the_rows_of_one_process(place, capsys):
    command = ["predict", str(place / "films"), "--model", str(place / "release")]
    assert main([*command, "--out", str(place / "whole.csv")]) == 0
    for _ in range(2):  # the second finds all parts written
        assert main([*command, "--engine", "ray", "--workers", "1", "--out", str(place / "out")]) == 0
    assert "1 of 1 parts are written already" in capsys.readouterr().err
    assert main(["merge", str(place / "out"), "--out", str(place / "merged.csv")]) == 0
    assert (place / "merged.csv").read_bytes() == (place / "whole.csv").read_bytes()


@asked
@with_spark
def test_spark_gives_the_probabilities_of_one_process(place):
    """As docs/how-to/cluster.md shows it."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql import SparkSession
    from pyspark.sql.types import ArrayType, FloatType

    release = str(place / "release")

    def make_predict():
        model = BatchPredictor(release)
        return lambda paths: model.probabilities(paths)

    settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder = SparkSession.builder.master("local[1]").config(map=settings)
    spark = builder.getOrCreate()
    try:
        paths = sorted(map(str, Path(place / "films").rglob("*.png")))
        table = spark.createDataFrame([(path,) for path in paths], "path string").coalesce(1)
        score = predict_batch_udf(make_predict, return_type=ArrayType(FloatType()), batch_size=16)
        rows = {row["path"]: row["p"] for row in table.withColumn("p", score("path")).collect()}
    finally:
        spark.stop()
    expected = BatchPredictor(release).probabilities(paths)
    np.testing.assert_allclose(np.array([rows[path] for path in paths]), expected, atol=1e-6)
