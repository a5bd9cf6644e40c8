"""Nothing in a pickle runs, whatever the bytes are; what cannot be read is a `WeightsError` within little memory."""

import io
import os
import pickle
import random
import struct
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from zoo.core.errors import WeightsError
from zoo.models.weights.inert_pickle import read_pickle
from zoo.models.weights.inert_values import Name, Record
from zoo.models.weights.torch_file import read_torch
from zoo.models.weights.torch_values import makers, storage_of

FILES = Path(__file__).parent / "torch_files"

#: Created by any hostile pickle that is executed.
CANARY = Path("/tmp") / f"canary-{os.getpid()}"


class Hostile:
    """Runs `function(*arguments)` when it is unpickled."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile() -> list[bytes]:
    path = str(CANARY)
    touch = f"open({path!r}, 'w').close()"
    calls = [Hostile(os.mkdir, path), Hostile(eval, touch), Hostile(exec, touch), Hostile(os.system, f"mkdir {path}")]
    around = [*calls, {"state_dict": calls[0]}, [1, calls[1]], {"model": {"w": calls[2]}}, (calls[3], {"a": calls[0]})]
    found = [pickle.dumps(value, protocol) for value in around for protocol in range(6)]
    found += [
        b"cos\nmkdir\n(V" + path.encode() + b"\ntR.",
        b"(S'" + path.encode() + b"'\nios\nmkdir\n.",
        b"(cos\nmkdir\nV" + path.encode() + b"\no.",
        b"\x80\x02cos\nmkdir\nX" + struct.pack("<I", len(path)) + path.encode() + b"\x85\x81.",
        b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93\x8c" + bytes([len(path)]) + path.encode() + b"\x85}\x92.",
        b"cbuiltins\ngetattr\n(cos\nenviron\nVclear\ntR)R.",
        b"\x80\x02\x82\x01.",
    ]
    return found


@pytest.fixture(autouse=True)
def no_canary():
    assert not CANARY.exists()
    yield
    assert not CANARY.exists()


def read(data: bytes):
    return read_pickle(io.BytesIO(data), makers(), storage_of)


def test_the_canary_sings_where_pickles_are_executed():
    pickle.loads(hostile()[0])
    assert CANARY.is_dir()
    CANARY.rmdir()


def test_hostile_pickles_become_records():
    for data in hostile():
        try:
            read(data)
        except WeightsError as error:
            assert "\n" not in str(error)  # noqa: PT017
    assert read(hostile()[2]).name in ("posix.mkdir", "nt.mkdir")
    assert read(b"cbuiltins\ngetattr\n(cos\nenviron\nVclear\ntR)R.") == Inert("builtins.getattr", ())


class Inert:
    """Compares equal to a record with this name and these arguments."""

    def __init__(self, name, args):
        self.name, self.args = name, args

    def __eq__(self, other):
        return isinstance(other, Record) and (other.name, other.args) == (self.name, self.args)


def test_values_are_those_of_the_standard_library():
    value = {
        "numbers": [1, -5, 2**31, 2**63, -(2**70), 1.5, float("inf"), True, None],
        "text": ("a", "\u00e9\u4e2d", "", b"\x00\xff", "x" * 300, b"y" * 300),
        "nested": {(1, "a"): [[], {}, (), ((1,), 2, 3, 4)]},
        "shared": [shared := [1], shared],
        "sets": {1, 2},
    }
    for protocol in range(6):
        found = read(pickle.dumps(value, protocol))
        assert found["shared"][0] is found["shared"][1]
        assert {**found, "sets": set(found["sets"])} == value
    assert read(pickle.dumps(bytearray(b"abc"), 5)) == bytearray(b"abc")
    assert read(pickle.dumps(frozenset({1}), 4)) == frozenset({1})


def test_a_class_is_a_name_and_an_object_a_record_with_its_state():
    assert read(pickle.dumps(random.Random, 2)) == Name("random.Random")
    path = read(b"ccopy_reg\n_reconstructor\n(cmodule\nThing\nc__builtin__\nobject\nNtR(dVa\nI3\nsb.")
    assert (path.name, path.state) == ("copy_reg._reconstructor", {"a": 3})


NESTED = b"".join([b"(" * 50_000, b"t" * 50_000, b"."])
LIMITS = {
    "a bytearray of 2**62 bytes": (b"\x96" + struct.pack("<Q", 2**62) + b"a.", "cut off or damaged"),
    "bytes of 2**62 bytes": (b"\x8e" + struct.pack("<Q", 2**62) + b"a.", "cut off or damaged"),
    "a number of 2**31 bytes": (b"\x8b" + struct.pack("<i", 2**31 - 1) + b"a.", "cut off or damaged"),
    "a number of 10,000 digits": (b"L" + b"9" * 10_000 + b"L\n.", "cut off or damaged"),
    "a key of nested tuples": (b"}" + NESTED[:-1] + b"K\x01s.", "a key of a kind that no network has"),
    "a tensor without a storage": (
        b"ctorch._utils\n_rebuild_tensor_v2\n(K\x00K\x00))tR.",
        "a tensor without a storage",
    ),
    "extension codes": (b"\x80\x02\x82\x01.", "opcode EXT1, which no PyTorch file needs"),
    "buffers outside": (b"\x80\x05\x97.", "opcode NEXT_BUFFER"),
    "a value is missing": (b"0.", "mark is missing"),
    "no end": (b"", "cut off or damaged"),
    "a call of a number": (b"K\x01)R.", "no class or function"),
}


@pytest.mark.parametrize("kind", LIMITS)
def test_limits_hold_before_memory_is_taken(kind):
    data, message = LIMITS[kind]
    tracemalloc.start()
    with pytest.raises(WeightsError, match=message):
        read(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6


def test_opcodes_are_limited():
    with pytest.raises(WeightsError, match="more than 1,000 opcodes, which no network needs"):
        read_pickle(io.BytesIO(b"K\x010" * 1000 + b"."), max_opcodes=1000)


def test_a_place_in_the_memo_takes_no_memory_and_deep_nesting_no_stack():
    assert read(b"K\x07r\xff\xff\xff\x7f0j\xff\xff\xff\x7f.") == 7
    assert isinstance(read(NESTED), tuple)


def tensor(shape: bytes, strides: bytes, elements: bytes = b"K\x04") -> bytes:
    storage = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\n" + elements + b"tQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K\x00" + shape + strides + b"I00\nNtR."


@pytest.mark.parametrize(
    "data",
    [
        tensor(b"K\x05\x85", b"K\x01\x85"),
        tensor(b"J\x00\x00\x00\x40\x85", b"K\x00\x85"),
        tensor(b"K\x02K\x02\x86", b"K\x03K\x01\x86"),
        tensor(b"K\x02\x85", b"J\xff\xff\xff\xff\x85"),
        tensor(b"K\x02K\x02\x86", b"K\x01\x85"),
        tensor(b"K\x02\x85", b"K\x01\x85", b"J\xff\xff\xff\xff"),
        tensor(b"(" + b"K\x01" * 65 + b"t", b"(" + b"K\x01" * 65 + b"t"),
    ],
    ids=["too long", "stride 0", "beyond", "stride -1", "ranks differ", "negative storage", "65 axes"],
)
def test_a_tensor_lies_inside_its_storage(data):
    assert read(tensor(b"K\x02K\x02\x86", b"K\x02K\x01\x86")).shape == (2, 2)
    with pytest.raises(WeightsError, match=r"its pickle (describes|holds)"):
        read(data)


def test_modules_in_a_circle_end(tmp_path):
    # A module that is its own child.
    ring = b"cmod\nNet\n)\x81q\x00(V_modules\n(Va\nh\x00dV_parameters\n(dV_buffers\n(ddb."
    with pytest.raises(WeightsError, match="modules are nested more than 100 deep"):
        read_torch(zipped(tmp_path / "ring.pt", ring))


def zipped(path: Path, pickled: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", b"3\n")
        for i in range(10):
            archive.writestr(f"a/data/{i}", bytes(72))
    return path


def corpus() -> list[bytes]:
    found = hostile()
    for name in ("state_dict.pt", "module.pt", "kinds.pt"):
        with zipfile.ZipFile(FILES / name) as archive:
            found += [archive.read(n) for n in archive.namelist() if n.endswith("data.pkl")] * 8
    return found


def mutated(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """A few changes: other bytes, opcodes put in, parts left out, doubled, or taken from another pickle."""
    changed, opcodes = (
        bytearray(data),
        b"(.0123NFIJKLMPQRSTUVX]abcdeghijlopqrstu}\x80\x81\x85\x86\x87\x88\x8c\x8f\x92\x93\x94\x95",
    )
    for _ in range(rng.randint(1, 6)):
        start = rng.randrange(len(changed) + 1)
        end = min(len(changed), start + rng.randint(1, 30))
        other = rng.choice(others)
        cut = rng.randrange(len(other))
        kind = rng.randrange(5)
        changed[start : end if kind in (0, 2) else start] = (
            rng.randbytes(end - start) if kind == 0
            else bytes([rng.choice(opcodes)]) if kind == 1
            else b"" if kind == 2
            else changed[start:end] * rng.randint(1, 3) if kind == 3
            else other[cut : cut + 40]
        )  # fmt: skip
        changed = changed or bytearray(b".")
    return bytes(changed)


@pytest.mark.filterwarnings("ignore:invalid escape sequence")
def test_two_thousand_mutated_and_hostile_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng, originals = random.Random(0), corpus()
    old = (FILES / "legacy.pth").read_bytes()
    refused, slowest = 0, 0.0
    tracemalloc.start()
    for i in range(2000):
        path = tmp_path / f"{i % 20}.pt"
        if i % 4 == 0:
            path.write_bytes(mutated(old, rng, originals))
        else:
            zipped(path, mutated(originals[i % len(originals)], rng, originals))
        start = time.process_time()
        try:
            read_torch(path)
        except WeightsError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
            assert len(str(error)) < 600  # noqa: PT017
        slowest = max(slowest, time.process_time() - start)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 1000
    assert peak < 30e6
    assert slowest < 2
    assert [path.suffix for path in tmp_path.iterdir()] == [".pt"] * 20
