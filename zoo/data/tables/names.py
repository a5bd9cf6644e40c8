"""The names of the data sets, known without reading one (`zoo.data.tables.datasets` has their readers)."""

#: Names that `--dataset` takes.
DATASET_NAMES = ("csv", "competition", "nih", "nih-debatable")
