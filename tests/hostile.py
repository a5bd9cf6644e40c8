"""Releases that somebody made to do harm, and what a process does with them.

The 21 kinds of hostile input, and where each is tested (tests/hub/ unless another folder is named):

 1  altered byte, other size            test_hostile_weights; on a Hub: test_hostile_hub, test_pull (a damaged file ...)
 2  manifest broken, huge, nested       test_hostile_manifest, test_manifest
 3  names and links that lead outside   test_hostile_manifest; on a Hub and in its cache: test_hostile_hub
 4  extra files                         test_hostile_manifest, test_inspect (files that ...); a Hub: test_hostile_hub
 5  only unsafe formats                 test_hostile_manifest; on a Hub: test_pull (what is no release ...)
 6  unknown or monstrous architecture   test_hostile_model, test_schema; unknown head: test_write
 7  hostile safetensors                 test_hostile_weights; tests/models/test_weights, test_safetensors_header
 8  the wrong thing under a right name  test_hostile_weights
 9  thresholds                          test_hostile_model, test_schema
10  card                                test_hostile_model; on a Hub: test_hostile_hub, test_pull (a card that ...)
11  revision                            test_hostile_hub, test_reference; one that is not there: test_pull
12  repository                          test_hostile_hub, test_reference
13  offline                             test_pull (offline the cache serves ..., the environment of a fresh process ...)
14  HTTP faults                         test_hostile_hub, test_pull (a slow drip ..., a hub that does not answer ...)
15  main moves between two files        test_pull (a branch that moves meanwhile ...)
16  two processes, kill -9              test_pull (two processes at once, a killed download ...)
17  no links, read-only, disk full      test_hostile_hub, test_hostile_weights; test_pull (a cache ...)
18  members that do not fit             test_hostile_model, test_hostile_weights
19  future format                       test_hostile_manifest, test_hostile_model
20  token                               test_hostile_hub, test_hub_errors, test_reference; the fixture `hub` everywhere
21  .weights.h5                         tests/models/test_weights_h5
"""

import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoo.release import manifest

#: Does something to a release folder. Beside the folder lies another one, `outside`, with a file `secret.json`.
Damage = Callable[[Path], object]

#: Bytes that reading a hostile release may take.
MEMORY = 300 * 2**20

#: Finds and inspects the folders of its arguments, the first of which is sound, in a process that has `MEMORY` left.
CHILD = """
import json, os, resource, sys
from pathlib import Path
from zoo.names import sources
from zoo.core.errors import ReleaseError

good, memory, *bad = sys.argv[1:]
sources.find(Path(good)), sources.inspect(Path(good))  # what is imported late is there

opened = []
def listen(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        opened.append(arguments[0])
sys.addaudithook(listen)

pages = int(Path("/proc/self/statm").read_text().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(memory),) * 2)
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
for folder in bad:
    opened.clear()
    try:
        sources.find(Path(folder))
        said = ""
    except ReleaseError as error:
        said = f"{type(error).__name__}: {error}"
    names = sorted({os.path.relpath(path, folder) for path in opened if path.startswith(folder + "/")})
    problems = sources.inspect(Path(folder)).problems
    print(json.dumps([said, names, problems]), flush=True)
sources.find(Path(good))
assert not {"keras", "tensorflow", "jax", "torch", "h5py"} & set(sys.modules)
"""


@dataclass(frozen=True)
class Reading:
    """What became of one folder.

    Attributes:
        said: "TypeOfError: message", "" where it was read.
        opened: Names of the files in it that were opened.
        problems: What `inspect` says.
    """

    said: str
    opened: list[str]
    problems: list[str]


def read_all(release: Path, damages: Mapping[str, Damage], where: Path) -> dict[str, Reading]:
    """Damages a copy of a release for each case, and reads them all in one process without much memory.

    Args:
        release: A sound one.
        damages: Case -> what is done to its copy.
        where: A folder for the copies.
    """
    outside = where / "outside"
    outside.mkdir()
    (outside / "secret.json").write_text('{"format_version": 1, "files": {}}')
    folders = [where / f"case{i}" for i in range(len(damages))]
    for folder, damage in zip(folders, damages.values(), strict=True):
        shutil.copytree(release, folder)
        damage(folder)
    command = [sys.executable, "-c", CHILD, str(release), str(MEMORY), *map(str, folders)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, f"{[*damages][len(lines) : len(lines) + 1]}: {done.stderr}"
    return {name: Reading(*json.loads(line)) for name, line in zip(damages, lines, strict=True)}


def check_refused(reading: Reading, says: str) -> None:
    """It was refused in one line that holds `says`, and `inspect` names a problem too."""
    assert says in reading.said
    for line in (reading.said, *reading.problems):
        assert line.isprintable()
        assert len(line) < 1200
    assert reading.problems


def agree(folder: Path) -> None:
    """Brings the manifest up to the files, as whoever releases wrong files on purpose would."""
    listing = json.loads((folder / manifest.MANIFEST).read_text())
    listing["files"] = manifest.to_json(manifest.describe(folder))
    (folder / manifest.MANIFEST).write_text(json.dumps(listing))


def edit(name: str, change: Callable[[Any], object]) -> Damage:
    """Changes a JSON file, and the manifest with it."""

    def damage(folder: Path) -> None:
        document = json.loads((folder / name).read_text())
        change(document)
        (folder / name).write_text(json.dumps(document))
        if name != manifest.MANIFEST:
            agree(folder)

    return damage


def put(name: str, path: str, value: object) -> Damage:
    """Sets the value at a path such as "ensemble/members/0/backbone" of a JSON file, and the manifest with it."""

    def change(document: Any) -> None:
        *keys, last = (int(key) if key.isdecimal() else key for key in path.split("/"))
        for key in keys:
            document = document[key]
        document[last] = value

    return edit(name, change)


def write(name: str, data: bytes | str, *, agreeing: bool = True) -> Damage:
    """Puts other bytes into a file, and its size and sha256 into the manifest where they shall agree."""

    def damage(folder: Path) -> None:
        (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        if agreeing and name != manifest.MANIFEST:
            agree(folder)

    return damage


def replace(name: str, old: str, new: str) -> Damage:
    """Puts another text into a JSON file, which `json.dumps` would not write, and the manifest with it."""

    def damage(folder: Path) -> None:
        text = json.dumps(json.loads((folder / name).read_text()))
        assert old in text
        write(name, text.replace(old, new, 1))(folder)

    return damage


def link(name: str, to: str) -> Damage:
    """Makes a file a link."""

    def damage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(to)

    return damage


def listing(name: str) -> Damage:
    """Adds a name to the manifest."""
    return edit(manifest.MANIFEST, lambda data: data["files"].update({name: {"size": 1, "sha256": "0" * 64}}))


def all_of(*damages: Damage) -> Damage:
    """One after the other."""

    def damage(folder: Path) -> None:
        for each in damages:
            each(folder)

    return damage


def safetensors(header: object, values: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file of a header (an object, or its very bytes), which may say that it is longer or shorter."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + values
