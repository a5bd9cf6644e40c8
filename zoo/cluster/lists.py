"""What a cluster shall score: folders, image files, tables that list images, and addresses of object stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from zoo.core.counting import counted
from zoo.core.csv import read_columns
from zoo.core.errors import ImageError, TableError
from zoo.core.paths import IMAGE_EXTENSIONS, is_address
from zoo.data.images.listing import find_images
from zoo.inference.writers import require_parquet
from zoo.labels.columns import IMAGE_IDS

#: Columns of images in a list, beside those of data sets.
_COLUMNS = (*IMAGE_IDS, "URL", "URI", "Address")


def find_listed(sources: Sequence[str | Path], say: Callable[[str], None]) -> list[str]:
    """Returns the paths and addresses of all images, in the given order, without duplicates.

    Args:
        sources: Folders and image files; `.csv` and `.parquet` tables with a column of paths or addresses (Path, Image,
            URL, ...), relative to the table's folder; addresses such as s3://bucket/images, of which everything below
            with the extension of an image is taken.
        say: Called with a line on what was left out.

    Raises:
        FileNotFoundError: A source does not exist.
        ImageError: There is no image in a source, or an address cannot be listed.
        TableError: A table has no column of images, or an empty field in it.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = Path(folder) / "list.csv"
        ...     _ = table.write_text("Path,Age\\ns3://bucket/a.png,60\\ns3://bucket/b.png,61\\n")
        ...     find_listed([table], print)
        ['s3://bucket/a.png', 's3://bucket/b.png']
    """
    found: list[str] = []
    for source in sources:
        text = str(source)
        if is_address(text):
            found += _of_address(text, say)
        elif Path(source).suffix.lower() in (".csv", ".parquet") and Path(source).is_file():
            found += _of_table(Path(source))
        else:
            found += find_images([Path(source)], say)
    once = list(dict.fromkeys(found))
    if len(once) < len(found):
        say(f"{counted(len(found) - len(once), 'image is', 'images are')} listed again and taken once")
    return once


def _of_table(table: Path) -> list[str]:
    if table.suffix.lower() == ".csv":
        read = read_columns(table)
        column = read.header(*_COLUMNS)
        names: Sequence[Any] = [] if column is None else read.texts(column)
        columns = list(read.columns)
    else:
        require_parquet(f"{table}: Parquet")
        import pyarrow.parquet as pq

        columns = pq.read_schema(table).names
        column = next((c for w in _COLUMNS for c in columns if c.lower().replace("_", " ") == w.lower()), None)
        names = [] if column is None else pq.read_table(table, columns=[column]).column(0).to_pylist()
    if column is None:
        raise TableError(f"{table}: no column of images (such as Path); it has {', '.join(map(repr, columns))}")
    if empty := sum(not name for name in names):
        raise TableError(f"{table}: {empty:,} of {counted(len(names), 'row')} name no image in column {column!r}")
    return [name if is_address(name) else str(table.parent / name) for name in names]


def _of_address(address: str, say: Callable[[str], None]) -> list[str]:
    """Every image below an address; one with the extension of an image is a file."""
    import fsspec

    if address.lower().endswith(IMAGE_EXTENSIONS):
        return [address]
    try:
        system, root = fsspec.core.url_to_fs(address)
        names = sorted(system.find(root))
    except Exception as error:
        raise ImageError(f"{address}: cannot be listed ({type(error).__name__}: {error})") from error
    images = [name for name in names if name.lower().endswith(IMAGE_EXTENSIONS)]
    others = Counter(PurePosixPath(name).suffix or "no extension" for name in names if name not in {*images})
    if not images:
        raise ImageError(f"{address}: no file with the extension of an image; it holds {len(names):,} others")
    if others:
        say(f"{address}: left out {', '.join(f'{count:,} of {kind}' for kind, count in others.most_common(5))}")
    return [str(system.unstrip_protocol(name)) for name in images]
