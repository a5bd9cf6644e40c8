"""The names of the data sets, known without reading one (`zoo.data.tables.datasets` has their readers)."""

#: Names that `--dataset` takes.
DATASET_NAMES = (
    *("csv", "competition", "competition-both", "nih", "nih-debatable", "chexpert", "chexpert-test"),
    *("mimic-chexpert", "mimic-negbio", "padchest", "vindr", "vindr-any", "vindr-all", "rsna", "siim", "openi"),
)
