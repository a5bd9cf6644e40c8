"""A DICOM node (`zoo node`): radiographs come from a PACS, findings go back to it as DICOM objects. Extra `node`."""
