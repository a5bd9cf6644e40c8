"""Damaged messages and objects to `zoo node`: its port goes on, and sound studies still get their results."""

from __future__ import annotations

import io
import queue
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from dicoms import radiograph
from noded import Kept, node, stub
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE

from soak import Trial, Wrong, mutation
from soak.damaged_images import damaged
from soak.http_damage import exchange
from soak.mutation import Rng
from zoo.data.images.limits import Limits

AIM, SECONDS, MEMORY = 2_000, 60.0, 512 << 20

CR, LITTLE = "1.2.840.10008.5.1.4.1.1.1", "1.2.840.10008.1.2.1"

#: After so many trials a sound study is sent, and its results are awaited.
EVERY = 20


@contextmanager
def ready(folder: Path) -> Iterator[Trial]:
    kept = Kept()
    predictor = stub(Limits(pixels=1_000_000, bytes=2_000_000))
    with node(folder / "spool", kept, predictor, quiet=0.3, associations=8) as running:
        sound = _film("1.2.3", 1)
        spoken = _recorded(running.port, sound)

        def trial(number: int, rng: Rng) -> str:
            if number % 2:
                done = _objects(running.port, number, rng)
            else:
                pieces, done = _messages(list(spoken), rng)
                exchange("127.0.0.1", running.port, b"".join(pieces), SECONDS / 4)
            status = _stored(running.port, _film("1.2.3", 1))
            if status not in (0,):
                raise Wrong(f"{done}: afterwards a sound object gets {status}")
            if number % EVERY == 0:
                _results(running, kept, number, done)
            return done

        yield trial


def _film(study: str, number: int) -> bytes:
    values = np.random.default_rng(number).integers(0, 256, (40, 48))
    return radiograph(values, study=study, number=number)


def _stored(port: int, content: bytes, uid: str = "") -> int | None:
    """Status of a sound C-STORE; None where none came."""
    ae = AE(ae_title="TESTS")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = SECONDS / 4
    ae.add_requested_context(CR, [LITTLE])
    association = ae.associate("127.0.0.1", port, ae_title="ZOO")
    if not association.is_established:
        return None
    found = association.send_c_store(pydicom.dcmread(io.BytesIO(content))).get("Status")
    association.release()
    return found


def _recorded(port: int, content: bytes) -> list[bytes]:
    """The messages of a sound sender, one by one."""
    sent: list[bytes] = []
    ae = AE(ae_title="TESTS")
    ae.add_requested_context(CR, [LITTLE])
    handlers: list[Any] = [(evt.EVT_DATA_SENT, lambda event: sent.append(event.data))]
    association = ae.associate("127.0.0.1", port, ae_title="ZOO", evt_handlers=handlers)
    association.send_c_store(pydicom.dcmread(io.BytesIO(content)))
    association.release()
    return sent


def _messages(pieces: list[bytes], rng: Rng) -> tuple[list[bytes], str]:
    """The messages with one of them damaged, left out, repeated or moved."""
    at, way = int(rng.integers(len(pieces))), int(rng.integers(6))
    kind = {1: "associate", 4: "data", 5: "release"}.get(pieces[at][0], "another message")
    if way == 0:
        pieces[at] = mutation.blind(pieces[at], rng)[0]
        return pieces, f"{kind}, damaged"
    if way == 1:
        pieces[at] = mutation.put(pieces[at], 2, ">I", mutation.extreme(4, rng, len(pieces[at]) - 6))
        return pieces, f"{kind}, its length"
    if way == 2:
        pieces[at] = bytes([int(rng.integers(0, 256))]) + pieces[at][1:]
        return pieces, f"{kind}, its type"
    if way == 3:
        piece = pieces.pop(at)
        pieces.insert(int(rng.integers(len(pieces) + 1)), piece)
        return pieces, f"{kind}, moved"
    if way == 4:
        return [*pieces[:at], *pieces[at:][: int(rng.integers(len(pieces)))]], "messages left out"
    # A number within the message: lengths of items, contexts, values of the command.
    inside = 6 + 2 * int(rng.integers(max(1, (len(pieces[at]) - 10) // 2)))
    form = ("<I", ">I", "<H", ">H")[rng.integers(4)]
    if inside + 4 <= len(pieces[at]):
        pieces[at] = mutation.put(pieces[at], inside, form, mutation.extreme(struct.calcsize(form), rng))
    return pieces, f"{kind}, a number in it"


def _objects(port: int, number: int, rng: Rng) -> str:
    """A damaged object in sound messages."""
    study = f"1.2.{number + 10}"
    content = _film(study, 1)
    found, done = damaged(content, "dicom", [content], rng)
    body = found[content.find(b"\x08\x00") :] if rng.random() < 0.5 else found[_start(content) :]
    # A message whose data set never comes is waited for; that is no damage of an object.
    status = _sent(port, body or b"\0", f"{study}.2.1")
    return f"object, {done}: {'taken' if status == 0 else 'refused' if status else 'cut off'}"


def _start(content: bytes) -> int:
    """Where the data set begins, behind group 0002."""
    return 132 + 12 + struct.unpack_from("<I", content, 132 + 8)[0]


def _sent(port: int, body: bytes, uid: str) -> int | None:
    """The status of a C-STORE of these bytes; None where the node ended the connection instead."""
    # The thread of an association reads each answer, and nobody waits for it: its event is the public way to see it.
    answers: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    handlers: list[Any] = [
        (evt.EVT_DIMSE_RECV, lambda event: answers.put(int(event.message.command_set.Status))),
        (evt.EVT_CONN_CLOSE, lambda event: answers.put(None)),
    ]
    ae = AE(ae_title="TESTS")
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = SECONDS / 4
    ae.add_requested_context(CR, [LITTLE])
    association = ae.associate("127.0.0.1", port, ae_title="ZOO", evt_handlers=handlers)
    if not association.is_established:
        raise Wrong("no association")
    request = C_STORE()
    request.MessageID, request.Priority = 1, 2
    request.AffectedSOPClassUID, request.AffectedSOPInstanceUID = CR, uid
    request.DataSet = io.BytesIO(body)
    try:
        association.dimse.send_msg(request, association.accepted_contexts[0].context_id)
        return answers.get(timeout=SECONDS / 4)
    except queue.Empty:
        raise Wrong(f"neither an answer nor an end within {SECONDS / 4:g} s") from None
    finally:
        association.abort()


def _results(running: Any, kept: Kept, number: int, done: str) -> None:
    """A sound study of its own gets a report and a map."""
    study = f"1.9.{number + 10}"
    status = _stored(running.port, _film(study, number + 2))
    end = time.monotonic() + SECONDS / 2
    while time.monotonic() < end:
        for _, content in kept.sent:
            if pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).get("StudyInstanceUID") == study:
                kept.sent.clear()
                return
        time.sleep(0.1)
    raise Wrong(f"{done}: a sound study (status {status}) got no results; {running.spool.counts()}")
