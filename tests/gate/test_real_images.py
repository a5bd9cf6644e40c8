"""The quality checks on real radiographs, fitted on some patients and tried on others."""

import numpy as np
import pytest

from zoo.core.progress import Silent
from zoo.data.images.reading import read_image
from zoo.data.tables.reading import read_table
from zoo.gate.changes import inverted, turned
from zoo.gate.fitting import fit_images

pytestmark = pytest.mark.real


def test_real_radiographs_pass_and_turned_or_inverted_ones_do_not(nih_dir):
    table = read_table("nih", nih_dir)
    patients = table["Patient_ID"].astype(str).to_numpy()
    names = np.unique(patients)
    fitted = np.isin(patients, np.random.default_rng(0).permutation(names)[: len(names) * 2 // 3])
    gate = fit_images(list(table["Image_path"][fitted]), patients[fitted], 128, read_image, Silent())
    others = [read_image(path, 128) for path in table["Image_path"][~fitted]]

    def rejected(images):
        return np.mean([gate.judge(image, (512, 512)).quality == "rejected" for image in images])

    assert rejected(others) <= 0.05  # 140 images of one per patient: 2 % would be 3 of them
    for change in (turned(1), turned(2), turned(3), inverted):
        assert rejected([change(image, np.random.default_rng(0)) for image in others]) >= 0.97
