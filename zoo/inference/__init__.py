"""From a release to findings."""
