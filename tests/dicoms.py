"""DICOM radiographs that the tests write: any depth, sign, window, photometric interpretation and transfer syntax."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, generate_uid


def dicom(
    values: np.ndarray, bits: int, syntax: UID = ExplicitVRLittleEndian, high: int | None = None, **tags: Any
) -> bytes:
    """A file of stored values (rows, columns) with `bits` bits; `tags` by keyword replace those of a chest CR."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.1", generate_uid()
    dataset.Modality, dataset.BodyPartExamined = "CR", "CHEST"
    dataset.PatientName, dataset.PatientID = "Secret^Name", "SECRET-ID"
    dataset.Rows, dataset.Columns = values.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored = 8 if bits <= 8 else 16, bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1 if high is None else high, 0
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    stored = (values.astype(np.int64) & ((1 << bits) - 1)) << (dataset.HighBit - bits + 1)
    order = ">u2" if syntax == ExplicitVRBigEndian else "<u2"
    dataset.PixelData = stored.astype("u1" if bits <= 8 else order).tobytes()
    dataset["PixelData"].VR = "OB" if bits <= 8 else "OW"
    return _written(dataset, syntax)


def radiograph(values: np.ndarray, bits: int = 8, study: str = "1.2.826.0.1.1", number: int = 1, **tags: Any) -> bytes:
    """A file with everything that results about it copy and reference: patient, study, series and plane."""
    usual: dict[str, Any] = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.2",
        "SOPInstanceUID": f"{study}.2.{number}",
        "PatientBirthDate": "19700102",
        "PatientSex": "F",
        "PatientAge": "056Y",
        "StudyDate": "20260102",
        "StudyTime": "101112",
        "StudyID": "S1",
        "AccessionNumber": "SECRET-A1",
        "ReferringPhysicianName": "Secret^Doctor",
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "ImagerPixelSpacing": [0.2, 0.2],
        "PatientOrientation": ["L", "F"],
        "ViewPosition": "PA",
        "SpecificCharacterSet": "ISO_IR 192",
    }
    return dicom(values, bits, **(usual | tags))


def with_stream(file: bytes, stream: bytes, syntax: UID) -> bytes:
    """The file with a compressed codestream in place of its pixels."""
    dataset = dcmread(io.BytesIO(file))
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
    return _written(dataset, syntax)


def lookup(first: int, bits: int, entries: np.ndarray, **tags: Any) -> list[Dataset]:
    """A sequence of one lookup table."""
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(entries), first, bits], [int(entry) for entry in entries]
    item["LUTDescriptor"].VR = item["LUTData"].VR = "US"
    for keyword, value in tags.items():
        setattr(item, keyword, value)
    return [item]


def _written(dataset: Dataset, syntax: UID) -> bytes:
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    file = io.BytesIO()
    little = syntax != ExplicitVRBigEndian
    dcmwrite(file, dataset, enforce_file_format=True, little_endian=little, implicit_vr=syntax.is_implicit_VR)
    return file.getvalue()
