"""Receives images by C-STORE, and answers C-ECHO: what is confirmed is on the disk."""

from __future__ import annotations

import logging
import ssl
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

from zoo.core.errors import ImageError, UsageError
from zoo.data.images.dicom_header import read_header
from zoo.data.images.dicom_meta import prepare_pydicom
from zoo.data.images.limits import Limits
from zoo.dicom.algorithm import MANUFACTURER
from zoo.node.settings import Settings
from zoo.node.spool import Spool, SpoolFullError
from zoo.node.tls import reason

if TYPE_CHECKING:
    from pynetdicom.events import Event

_LOG = logging.getLogger(__name__)

#: Statuses of C-STORE (PS3.4, table B.2-1).
SUCCESS, OUT_OF_RESOURCES, MISMATCH, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000

_VERIFICATION = "1.2.840.10008.1.1"

#: Transfer syntaxes that are read; see `zoo.data.images.dicom_frames`.
_SYNTAXES = (
    *("1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"),
    *(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70, 80, 81, 90, 91, 201, 202, 203)),
    "1.2.840.10008.1.2.5",
)

#: Largest piece that is offered to senders (PS3.8, D.1), and largest that is read from those that do not keep to it.
_PIECE, _LARGEST_PIECE = 1 << 17, 1 << 20

#: A sender is cut off in the middle of an object of this many times the limit; a smaller one gets a status.
_CUT_OFF = 2

#: Seconds for the first message of a connection, and between messages.
_FIRST, _IDLE = 15, 60


class Receiver:
    """A DICOM application that listens until the end of its `with` block.

    Args:
        spool: Where objects are kept.
        settings: Title, address and limits.
        limits: Limits on an object.

    Attributes:
        counts: Number of objects by what became of them.
        port: Port that it listens on.
    """

    def __init__(self, spool: Spool, settings: Settings, limits: Limits) -> None:
        self.counts: Counter[str] = Counter()
        self.port = 0
        self._spool, self._settings, self._limits = spool, settings, limits
        self._sizes: dict[Any, int] = {}
        self._counting = threading.Lock()

    def __enter__(self) -> Receiver:
        from pynetdicom import AE, AllStoragePresentationContexts, evt

        prepare_pydicom()
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # its messages show values of headers
        own = self._settings
        ae = AE(ae_title=own.aet)
        ae.require_called_aet, ae.require_calling_aet = True, list(own.allow)
        ae.maximum_associations, ae.maximum_pdu_size = own.associations, _PIECE
        ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = _FIRST, _IDLE, _IDLE
        for context in AllStoragePresentationContexts:
            ae.add_supported_context(str(context.abstract_syntax), list(_SYNTAXES))
        ae.add_supported_context(_VERIFICATION)
        handlers: list[Any] = [
            (evt.EVT_C_STORE, self._store), (evt.EVT_C_ECHO, lambda event: SUCCESS), (evt.EVT_CONN_OPEN, self._opened),
            (evt.EVT_CONN_CLOSE, self._closed), (evt.EVT_DIMSE_RECV, self._whole), (evt.EVT_REJECTED, self._rejected),
        ]  # fmt: skip
        try:
            server = ae.start_server(
                (own.host, own.port), block=False, evt_handlers=handlers, ssl_context=own.tls.receiving()
            )
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise UsageError(f"cannot listen on {own.host} port {own.port}: {why}; choose others") from None
        assert server is not None
        # Connections that never ask for an association are not counted by pynetdicom.
        most = 2 * own.associations + 2
        connected: Any = server
        connected.verify_request = lambda *_: len(ae.active_associations) < most
        self.port, self._server = int(server.server_address[1]), server
        return self

    def __exit__(self, *exception: object) -> None:
        # Senders in the middle of an object get no confirmation, and send it again.
        self._server.shutdown()
        for association in self._server.ae.active_associations:
            association.abort()

    def _store(self, event: Event) -> int:
        status, what = self._judge(event)
        self._count(what)
        if status != SUCCESS:
            _LOG.warning("an object was refused with status 0x%04X: %s", status, what)
        return status

    def _judge(self, event: Event) -> tuple[int, str]:
        """Takes an object; returns status, and what became of it in words without an identifier."""
        content = event.encoded_dataset()
        if len(content) > self._limits.bytes:
            return OUT_OF_RESOURCES, "larger than the limit"
        try:
            header = read_header(content, self._limits, ("SOPInstanceUID", "StudyInstanceUID", "Manufacturer"))
            image, study = str(header.get("SOPInstanceUID") or ""), str(header.get("StudyInstanceUID") or "")
            maker = str(header.get("Manufacturer") or "")
        except (ImageError, ValueError):
            return NOT_UNDERSTOOD, "its header is damaged"
        if not (image and study):
            return NOT_UNDERSTOOD, "without Study or SOP Instance UID"
        if image != str(getattr(event.request, "AffectedSOPInstanceUID", "")):
            return MISMATCH, "its SOP Instance UID is not that of the request"
        if maker == MANUFACTURER:
            return SUCCESS, "a result of this package, passed over"
        try:
            return SUCCESS, self._spool.take(study, image, content).value
        except SpoolFullError:
            return OUT_OF_RESOURCES, "the spool is full"
        except OSError as error:
            return OUT_OF_RESOURCES, f"the disk: {(error.strerror or 'an error').lower()}"

    def _opened(self, event: Event) -> None:
        """Bounds what is read from a connection before pynetdicom has it whole in memory."""
        association = event.assoc
        self._guard(association)
        socket: Any = association.dul.socket  # of pynetdicom: what it reads has been decrypted
        socket.socket.settimeout(_IDLE)  # or half a message, or half a handshake, would occupy a thread for ever
        receive, most = socket.recv, _CUT_OFF * self._limits.bytes + _LARGEST_PIECE
        self._sizes[association] = 0

        def bounded(count: int) -> bytearray:
            size = self._sizes.get(association, 0) + count
            if count > _LARGEST_PIECE or size > most:
                self._count("cut off: larger than the limit")
                _LOG.warning("a sender was cut off in the middle of an object: larger than the limit")
                raise OSError("larger than the limit")
            self._sizes[association] = size
            try:
                return receive(count)
            except ssl.SSLError as error:
                self._count("connections refused: TLS")
                _LOG.warning("a connection was refused: TLS: %s", reason(error))
                raise

        socket.recv = bounded

    def _guard(self, association: Any) -> None:
        """Ends an association with its connection, whatever was sent."""
        provider = association.dul
        act = provider.state_machine.do_action

        def guarded(event: str) -> None:
            try:
                act(event)
            except Exception:  # noqa: BLE001  (of any kind: pynetdicom would end its thread with it, and print it)
                provider.kill_dul()
                self._count("connections ended: messages damaged or out of order")
                _LOG.warning("a connection was ended: its messages are damaged or out of order")
            if provider.state_machine.current_state == "Sta1" and association.requestor.primitive is None:
                # Its thread waits for a first message, and would occupy a place until `_FIRST` is over.
                provider.to_user_queue.put(None)

        provider.state_machine.do_action = guarded

    def _count(self, what: str) -> None:
        with self._counting:
            self.counts[what] += 1

    def _whole(self, event: Event) -> None:
        self._sizes[event.assoc] = 0

    def _closed(self, event: Event) -> None:
        self._sizes.pop(event.assoc, None)

    def _rejected(self, event: Event) -> None:
        self._count("associations rejected")
        _LOG.warning("an association was rejected: a title that is not on the list, or too many at a time")
