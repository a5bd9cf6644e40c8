"""The 14 findings in their one order, and how other label names read as ours."""

import dataclasses

import pytest

from zoo.core.errors import UnknownNameError
from zoo.labels.findings import CHEXPERT, FINDINGS, NIH, NIH_DEBATABLE, LabelSchema, check_findings


def test_the_fourteen_findings_are_alphabetical_as_the_submission_file_wants_them():
    assert len(FINDINGS) == len(set(FINDINGS)) == 14
    assert list(FINDINGS) == sorted(FINDINGS)
    # The pair that CheXpert's own files hold in either order.
    assert FINDINGS.index("Lung Lesion") + 1 == FINDINGS.index("Lung Opacity") == 7


@pytest.mark.parametrize("schema", [CHEXPERT, NIH, NIH_DEBATABLE], ids=lambda s: s.name)
def test_a_schema_points_at_findings_it_has(schema):
    assert schema.findings == FINDINGS
    assert set(schema.aliases.values()) <= set(FINDINGS)
    assert [schema.index(finding) for finding in FINDINGS] == list(range(14))
    with pytest.raises(dataclasses.FrozenInstanceError):
        schema.name = "another"


def test_nih_names_read_as_ours_and_the_debatable_ones_only_when_asked():
    assert NIH.translate("Effusion") == "Pleural Effusion"
    assert NIH.translate("Pneumonia") == "Pneumonia"
    debatable = ("Mass", "Nodule", "Pleural_Thickening", "Infiltration")
    assert [NIH.translate(label) for label in debatable] == [None] * 4
    translated = [NIH_DEBATABLE.translate(label) for label in debatable]
    assert translated == ["Lung Lesion", "Lung Lesion", "Pleural Other", "Lung Opacity"]
    # What is nothing of ours stays nothing, and a part of a name is not the name.
    for schema in (NIH, NIH_DEBATABLE):
        assert [schema.translate(label) for label in ("Hernia", "Emphysema", "Fibrosis", "Pleural", "")] == [None] * 5


def test_an_unknown_finding_names_the_closest():
    with pytest.raises(UnknownNameError, match="unknown finding 'Lung opacety'; did you mean 'Lung Opacity'"):
        CHEXPERT.index("Lung opacety")
    with pytest.raises(UnknownNameError, match="'Hernia'"):
        check_findings(["Edema", "Hernia"])
    assert check_findings(iter(["Edema", "Fracture"])) == ("Edema", "Fracture")


def test_an_alias_of_a_finding_that_the_schema_lacks_is_refused():
    with pytest.raises(UnknownNameError, match="unknown finding 'Pleural Effusion'"):
        LabelSchema("short", findings=("Edema",), aliases={"Effusion": "Pleural Effusion"})
