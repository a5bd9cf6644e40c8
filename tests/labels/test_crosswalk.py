"""Label schemas crossed: right values, NaN for what is not said, and what is debatable only on request."""

import numpy as np
import pytest

from zoo.core.errors import UsageError
from zoo.labels.crosswalk import PAIRS, cross
from zoo.labels.findings import FINDINGS, NIH, NIH_DEBATABLE, NIH_FINDINGS

NAN = np.nan
XRV = (
    *("Atelectasis", "Consolidation", "Infiltration", "Pneumothorax", "Edema", "Emphysema", "Fibrosis", "Effusion"),
    *("Pneumonia", "Pleural_Thickening", "Cardiomegaly", "Nodule", "Mass", "Hernia", "Lung Lesion", "Fracture"),
    *("Lung Opacity", "Enlarged Cardiomediastinum"),
)
VINDR = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation"),
    *("Edema", "Emphysema", "ILD", "Infiltration", "Lung Opacity", "Nodule/Mass", "Pleural effusion"),
    *("Pleural thickening", "Pneumothorax", "Pulmonary fibrosis", "Rib fracture", "No finding"),
)


@pytest.mark.parametrize("debatable", [False, True])
def test_nihs_findings_are_mapped_as_its_reader_maps_them(debatable):
    found = cross(np.zeros((1, 14)), NIH_FINDINGS, FINDINGS, debatable=debatable)
    schema = NIH_DEBATABLE if debatable else NIH
    wanted = {ours: set() for ours in FINDINGS}
    for name in NIH_FINDINGS:
        if (ours := schema.translate(name)) is not None:
            wanted[ours].add(name)
    assert {f: set(own) for f, own in found.taken.items()} == {f: own for f, own in wanted.items() if own}


def test_eighteen_to_fourteen_and_back():
    there = cross(np.arange(18)[None] % 2, XRV, FINDINGS)
    assert there.missing == ("No Finding", "Pleural Other", "Support Devices")
    assert there.taken["Pleural Effusion"] == ("Effusion",)
    assert there.values[0, FINDINGS.index("Pleural Effusion")] == XRV.index("Effusion") % 2
    assert there.values[0, FINDINGS.index("Lung Lesion")] == XRV.index("Lung Lesion") % 2
    back = cross(np.ones((1, 14)), FINDINGS, XRV)
    assert back.missing == ("Infiltration", "Emphysema", "Fibrosis", "Pleural_Thickening", "Nodule", "Mass", "Hernia")
    assert np.isnan(back.values[0, [XRV.index(name) for name in back.missing]]).all()
    assert back.values[0, XRV.index("Effusion")] == 1
    assert set(back.unused) == {"No Finding", "Pleural Other", "Support Devices"}


def test_a_union_is_present_if_one_is_and_absent_if_all_are():
    source = ("Nodule", "Mass")
    rows = np.array([[1, 0], [0, 0], [NAN, 0], [NAN, 1], [-1, 0], [-1, 1], [-1, NAN]], np.float32)
    found = cross(rows, source, ["Nodule/Mass"])
    np.testing.assert_array_equal(found.values[:, 0], np.float32([1, 0, NAN, 1, -1, 1, -1]))
    assert np.isnan(cross(np.ones((1, 1)), ["Nodule"], ["Nodule/Mass"]).values).all()


def test_what_is_debatable_is_used_on_request_and_told():
    found = cross(np.ones((1, len(VINDR))), VINDR, FINDINGS)
    assert "Lung Lesion" in found.missing
    assert (
        "Fracture is not taken from Rib fracture or Clavicle fracture: absent ones leave fractures of other bones"
        in (found.notes())
    )
    wide = cross(np.ones((1, len(VINDR))), VINDR, FINDINGS, debatable=True)
    assert wide.taken["Lung Lesion"] == ("Nodule/Mass",)
    assert "Fracture" in wide.missing
    assert any(note.startswith("Lung Lesion from Nodule/Mass is debatable") for note in wide.notes())
    assert "findings taken from others: " in " ".join(wide.notes())


def test_padchests_names():
    names = ["pulmonary edema", "pleural effusion", "infiltrates", "hiatal hernia", "normal", "pulmonary fibrosis"]
    found = cross(np.ones((2, 6)), names, ["Edema", "Effusion", "Infiltration", "Hernia", "No Finding", "Fibrosis"])
    assert found.missing == ("Hernia", "No Finding")
    assert found.taken["Effusion"] == ("pleural effusion",)


def test_every_pair_has_a_reason_and_no_source_of_its_own():
    assert all(pair.reason and pair.target not in pair.sources for pair in PAIRS)
    with pytest.raises(UsageError, match=r"labels must be \(rows, 2\)"):
        cross(np.zeros((1, 3)), ["a", "b"], ["a"])
