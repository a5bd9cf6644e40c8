"""Sends results to a PACS by C-STORE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from zoo.node.archive import RefusedError, UnreachableError
from zoo.node.settings import Peer
from zoo.node.tls import PLAIN, Tls

#: Seconds for a connection, for an answer, and without any data.
_CONNECT, _ANSWER, _IDLE = 10, 60, 60

#: Statuses of a stored object: success, and warnings (PS3.4, table B.2-1; PS3.7, annex C).
_STORED = (0x0000, 0x0001, 0x0107, 0x0116, 0xB000, 0xB006, 0xB007)


class Pacs:
    """An archive that takes C-STORE.

    Args:
        peer: Its title and address.
        aet: The title that calls it.
        tls: Certificates; nothing is encrypted unless it has those of the archive.

    Raises:
        UsageError: A file of certificates cannot be used.
    """

    def __init__(self, peer: Peer, aet: str = "ZOO", tls: Tls = PLAIN) -> None:
        self.peer, self._aet, self._tls = peer, aet, tls.sending()

    def send(self, results: Sequence[Path], confirmed: Callable[[Path], None]) -> None:
        """Sends results over one association; see `Archive.send`."""
        from pydicom import dcmread
        from pynetdicom import AE

        datasets = [dcmread(result) for result in results]
        ae = AE(ae_title=self._aet)
        ae.connection_timeout, ae.acse_timeout, ae.dimse_timeout, ae.network_timeout = _CONNECT, _ANSWER, _ANSWER, _IDLE
        for kind in sorted({(one.SOPClassUID, one.file_meta.TransferSyntaxUID) for one in datasets}):
            ae.add_requested_context(*kind)
        over = (self._tls, self.peer.host) if self._tls is not None else None
        association = ae.associate(self.peer.host, self.peer.port, ae_title=self.peer.aet, tls_args=over)
        if not association.is_established:
            how = "rejected the association" if association.is_rejected else "cannot be reached"
            why = f": TLS: {self._tls.failure}" if self._tls is not None and self._tls.failure else ""
            raise UnreachableError(f"{self.peer.aet} {how}{why}")
        refused = ""
        try:
            for result, dataset in zip(results, datasets, strict=True):
                try:
                    answer = association.send_c_store(dataset)
                except ValueError:  # no presentation context was accepted
                    refused = f"{self.peer.aet} does not accept {dataset.SOPClassUID.name}"
                    continue
                status = answer.get("Status")
                if status is None or status >> 8 == 0xA7:
                    why = "broke off the association" if status is None else "is out of resources (0xA700)"
                    raise UnreachableError(f"{self.peer.aet} {why}")
                if status in _STORED:
                    confirmed(result)
                else:
                    refused = f"{self.peer.aet} refused {dataset.SOPClassUID.name} with status 0x{status:04X}"
        finally:
            if association.is_established:
                association.release()
        if refused:
            raise RefusedError(refused)
