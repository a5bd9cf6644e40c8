"""PyTorch files whose opcodes, names, storages and zip entries were changed: nothing in them runs."""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np

from soak import Trial, Wrong, mutation
from soak.mutation import Rng
from soak.sandbox import confined
from zoo.core.errors import WeightsError
from zoo.models.weights.torch_file import read_torch

AIM, SECONDS, CLOCK, MEMORY = 2_000, 5.0, "processor", 512 << 20

FILES = Path(__file__).parents[2] / "models" / "torch_files"

#: What a hostile pickle calls, with text as the argument.
CALLS = (
    "posix system", "builtins eval", "builtins exec", "os mkdir", "subprocess Popen", "builtins open", "os putenv",
    "importlib import_module", "torch.hub load", "numpy load", "builtins getattr", "operator attrgetter",
    "torch._utils _rebuild_tensor_v2", "collections OrderedDict", "numpy.core.multiarray _reconstruct",
    "_codecs encode",
)  # fmt: skip

#: Opcodes without an argument, to put anywhere.
BARE = [op.code.encode("latin-1") for op in pickletools.opcodes if op.arg is None]


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    parents = {path.name: path.read_bytes() for path in sorted(FILES.iterdir())}
    names = [*parents]

    def trial(number: int, rng: Rng) -> str:
        name = names[number % len(names)]
        data, done = mutant(parents[name], rng, folder / "canary")
        path = folder / "mutant.pt"
        path.write_bytes(data)
        kind = f"{'zip' if parents[name][:2] == b'PK' else 'legacy'}, {done}"
        with confined(folder):
            told = read(path)
        if (folder / "canary").exists():
            raise Wrong(f"{kind}: it ran")
        return f"{kind}: {told}"

    yield trial


def read(path: Path) -> str:
    try:
        found = read_torch(path)
    except WeightsError as error:
        if "\n" in str(error) or len(str(error)) > 1000:
            raise Wrong(f"a message that is no short line: {str(error)[:1200]!r}") from None
        return "refused"
    for name, value in found.tensors.items():
        if not isinstance(name, str) or not isinstance(value, np.ndarray) or value.dtype == object:
            raise Wrong(f"a tensor that is none: {name!r}: {type(value)}")
        value.sum()  # each element lies in memory of the file
    return "read"


def mutant(data: bytes, rng: Rng, canary: Path) -> tuple[bytes, str]:
    """A damaged file, and what was done to it."""
    if data[:2] != b"PK":
        if rng.random() < 0.3:
            return mutation.blind(data, rng)
        return changed(data, rng, canary)
    if rng.random() < 0.2:
        found, done = mutation.blind(data, rng)
        return found, f"archive, {done}"
    return archive(data, rng, canary)


def archive(data: bytes, rng: Rng, canary: Path) -> tuple[bytes, str]:
    """The same entries, one of them changed, in a sound zip file."""
    out, done = io.BytesIO(), ""
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(out, "w") as target:
        entries = source.infolist()
        chosen = "data.pkl" if rng.random() < 0.7 else entries[rng.integers(len(entries))].filename.partition("/")[2]
        for entry in entries:
            content, name, inside = source.read(entry), entry.filename, entry.filename.partition("/")[2]
            if inside == chosen == "data.pkl":
                content, done = changed(content, rng, canary)
            elif inside == chosen:
                content, name, done = entry_changed(content, name, rng)
            compressed = zipfile.ZIP_DEFLATED if rng.random() < 0.02 else zipfile.ZIP_STORED
            target.writestr(name, content, compressed)
    return out.getvalue(), done


def entry_changed(content: bytes, name: str, rng: Rng) -> tuple[bytes, str, str]:
    way = int(rng.integers(4))
    if way == 0:
        return content, f"{name.partition('/')[0]}/../../{name}", "an entry of another name"
    if way == 1:
        return content, name + str(rng.choice(["x", "/", "code/a.py", "\\..", "constants.pkl"])), "an entry renamed"
    if way == 2 or not content:
        return rng.bytes(int(rng.integers(0, 64))), name, "an entry of other bytes"
    return mutation.blind(content, rng)[0], name, "an entry damaged"


def changed(data: bytes, rng: Rng, canary: Path) -> tuple[bytes, str]:
    """A row of pickles with one to three opcodes changed; the bytes of an older file's tensors stay behind them."""
    pieces = opcodes(data)
    done = ""
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(pieces)))
        way, piece = int(rng.integers(8)), pieces[at]
        if way == 0:
            pieces[at], done = b"", "opcode deleted"
        elif way == 1:
            pieces[at], done = piece * int(rng.choice([2, 3, 1000])), "opcode repeated"
        elif way == 2:
            other = int(rng.integers(len(pieces)))
            pieces[at], pieces[other], done = pieces[other], piece, "opcodes swapped"
        elif way == 3:
            pieces[at], done = piece + BARE[rng.integers(len(BARE))] * int(rng.choice([1, 2, 500])), "opcodes inserted"
        elif way == 4:
            pieces[at], done = piece[:1] + argument(piece[1:], rng), "argument changed"
        elif way == 5:
            # Half of what is called is taken from the stack again, so that the rest of the pickle stays sound.
            pieces[at], done = piece + call(rng, canary) + b"0" * int(rng.integers(2)), "call inserted"
        elif way == 6:
            pieces[at], done = renamed(piece, rng), "name changed"
        else:
            pieces[at], done = piece + deep(rng), "nested or huge"
    return b"".join(pieces), done


def opcodes(data: bytes) -> list[bytes]:
    """The bytes of each opcode of all pickles, and the rest at the end."""
    pieces, source, ends = [], io.BytesIO(data), 0
    try:
        while ends < len(data):
            places = [place for _, _, place in pickletools.genops(source)]
            edges = [*places, source.tell()]
            pieces += [data[a:b] for a, b in pairwise(edges)]
            ends = edges[-1]
    except (ValueError, IndexError):
        pass  # tensors
    return [*pieces, data[ends:]]


def argument(old: bytes, rng: Rng) -> bytes:
    if not old:
        return old
    if rng.random() < 0.5 and len(old) in (1, 2, 4, 8):
        return mutation.extreme(len(old), rng, int.from_bytes(old, "little")).to_bytes(len(old), "little")
    return mutation.blind(old, rng)[0]


def call(rng: Rng, canary: Path) -> bytes:
    """Calls a function by its name on text, in one of the ways that pickles know."""
    name = CALLS[rng.integers(len(CALLS))]
    text = str(rng.choice([str(canary), f"open({str(canary)!r},'w')", f"touch {canary}"])).encode()
    module, _, function = name.encode().partition(b" ")
    word = b"X" + struct.pack("<I", len(text)) + text
    way = int(rng.integers(5))
    if way == 0:
        return b"c" + module + b"\n" + function + b"\n" + word + b"\x85R"
    if way == 1:
        return b"(" + word + b"i" + module + b"\n" + function + b"\n"
    if way == 2:
        return b"(c" + module + b"\n" + function + b"\n" + word + b"o"
    if way == 3:
        short = [b"\x8c" + bytes([len(part)]) + part for part in (module, function)]
        return b"".join(short) + b"\x93" + word + b"\x85}\x92"
    return b"c" + module + b"\n" + function + b"\n" + word + b"\x85\x81}" + word + word + b"sb"


def renamed(piece: bytes, rng: Rng) -> bytes:
    """Another name in place of a class; other opcodes stay."""
    if piece[:1] == b"c":
        return b"c" + CALLS[rng.integers(len(CALLS))].replace(" ", "\n").encode() + b"\n"
    return piece


def deep(rng: Rng) -> bytes:
    n = int(rng.choice([100, 10_000, 300_000]))
    ways = [
        b"(" * n + b"t" * n, b"]" * n + b"a" * (n - 1), b"\x8b" + struct.pack("<i", 2**31 - 1),
        b"\x96" + struct.pack("<Q", 2**62), b"\x8e" + struct.pack("<Q", 2**40), b"r" + struct.pack("<I", 2**32 - 1),
        b"L" + b"9" * n + b"L\n", b"}" + b"(" * n + b"t" * n + b"K\x01s", b"2" * n, b"I" + b"9" * n + b"\n",
    ]  # fmt: skip
    return ways[rng.integers(len(ways))]
