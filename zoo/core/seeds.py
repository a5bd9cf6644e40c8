"""Which seeds of random numbers are accepted."""

from __future__ import annotations

from numbers import Integral

from zoo.core.errors import UsageError

#: Seeds are below this, the limit of scikit-learn.
LIMIT = 2**32


def check_seed(seed: object) -> int:
    """Returns a seed that every generator of random numbers accepts.

    Raises:
        UsageError: The seed is not an integer in [0, 2**32).

    >>> check_seed(42)
    42
    """
    if not isinstance(seed, Integral) or isinstance(seed, bool) or not 0 <= int(seed) < LIMIT:
        raise UsageError(f"a seed is an integer from 0 to 4294967295 (2**32 - 1), got {seed!r}")
    return int(seed)
