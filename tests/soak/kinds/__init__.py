"""The kinds of trials, a module for each; see `soak` for what it holds."""
