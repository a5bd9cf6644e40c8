"""How a table of one's own names its columns, as saved in a recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace

#: Field of `TableSpec` -> canonical column that it fills.
ROLES = {
    "image": "Image_name",
    "patient": "Patient_ID",
    "study": "Study",
    "sex": "Sex",
    "age": "Age",
    "view": "ViewPosition",
}


@dataclass(frozen=True)
class TableSpec:
    """The columns of a plain CSV; "" finds a column by its usual names.

    Attributes:
        image: Column of the images' paths or names.
        patient: Column of the patients.
        study: Column of the studies.
        sex: Column of the sexes.
        age: Column of the ages.
        view: Column of the views.
        labels: Column that lists the findings of each row, as "Edema|Effusion".
        findings: Findings to read; () for all that the table has.
        images: Folder of the images; "" for the folder of the table.
        headers: Whether facts that the table lacks are read from the headers of DICOM images
            (`zoo.data.tables.headers`); the one field that every format of table has.

    Example:
        >>> TableSpec(image="file", findings=("Edema",)).given
        {'image': 'file'}
    """

    image: str = ""
    patient: str = ""
    study: str = ""
    sex: str = ""
    age: str = ""
    view: str = ""
    labels: str = ""
    findings: tuple[str, ...] = ()
    images: str = ""
    headers: bool = False

    @property
    def names_columns(self) -> bool:
        """Whether anything is named that only a table of one's own has."""
        return replace(self, images="", headers=False) != TableSpec()

    @property
    def given(self) -> dict[str, str]:
        """The columns of facts that were named."""
        return {role: header for role in ROLES if (header := getattr(self, role))}
