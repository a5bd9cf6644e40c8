"""The steps that the commands of `zoo.cli` run."""
