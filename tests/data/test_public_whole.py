"""The real tables of public data sets, whole, where the torchxrayvision package (which carries them) is installed."""

import importlib.util
from pathlib import Path

import pytest

from zoo.data.summary import count_findings
from zoo.data.tables.reading import read_table

found = importlib.util.find_spec("torchxrayvision")
pytestmark = [
    pytest.mark.skipif(found is None, reason="torchxrayvision carries the tables"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]
FOLDER = Path(found.origin).parent / "data" if found and found.origin else Path()

#: Data set, table, images, patients, and finding -> (positive, negative, uncertain, unknown).
WHOLE = {
    "chexpert": ("chexpert_train.csv.gz", 223_414, 64_540, {"Pleural Effusion": (86_187, 35_396, 11_628, 90_203)}),
    "padchest": (
        "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv.gz", 160_861, 67_625,
        {"Cardiomegaly": (15_006, 139_525, 0, 6_330), "Pneumothorax": (573, 153_958, 0, 6_330)},
    ),
    "vindr": ("vinbigdata-train.csv.gz", 15_000, 0, {"No Finding": (10_606, 4_394, 0, 0), "Edema": (0, 0, 0, 15_000)}),
    "rsna": ("kaggle_stage_2_train_labels.csv.zip", 26_684, 0, {"Pneumonia": (6_012, 20_672, 0, 0)}),
    "siim": ("siim-pneumothorax-train-rle.csv.gz", 12_047, 0, {"Pneumothorax": (2_669, 9_378, 0, 0)}),
    "openi": ("NLMCXR_reports.tgz", 7_470, 3_851, {"No Finding": (2_696, 4_419, 0, 355)}),
    "nih": ("Data_Entry_2017_v2020.csv.gz", 112_120, 30_805, {"Atelectasis": (11_559, 100_561, 0, 0)}),
    "csv": ("google2019_nih-chest-xray-labels.csv.gz", 4_376, 1_695, {"Airspace opacity": (2_166, 2_210, 0, 0)}),
}  # fmt: skip


@pytest.mark.parametrize("dataset", WHOLE)
def test_a_whole_table_has_the_known_counts(dataset, tmp_path):
    name, images, patients, labels = WHOLE[dataset]
    table = read_table(dataset, FOLDER / name, images=tmp_path, uncertain="keep")
    assert len(table) == images
    assert table["Patient_ID"].nunique() == patients
    counts = {c.finding: (c.positive, c.negative, c.uncertain, c.unknown) for c in count_findings(table)}
    assert {finding: counts[finding] for finding in labels} == labels
