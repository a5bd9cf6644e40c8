"""The node's other road: studies are looked up (QIDO-RS) and fetched (WADO-RS), and results stored (STOW-RS)."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.core.errors import MissingExtraError
from zoo.data.images.dicom import RADIOGRAPHS
from zoo.data.images.dicom_meta import prepare_pydicom
from zoo.node.archive import RefusedError, UnreachableError
from zoo.node.spool import Spool, SpoolFullError

if TYPE_CHECKING:
    from dicomweb_client.api import DICOMwebClient

_LOG = logging.getLogger(__name__)

#: Seconds for one request, and studies in one answer at most.
_SECONDS, _STUDIES = 60, 500

#: Tags of the answers (QIDO-RS gives them as text).
_STUDY, _SERIES, _IMAGE, _IMAGES = "0020000D", "0020000E", "00080018", "00201208"


class WebServer:
    """A DICOMweb server, as what studies are fetched from and what results are stored to.

    Args:
        url: Its address, such as "http://127.0.0.1:8042/dicom-web".
        token: Sent as `Authorization: Bearer TOKEN`; "" for none.
        most: Bytes of one image at most.

    Raises:
        MissingExtraError: dicomweb-client is not installed.
    """

    def __init__(self, url: str, token: str = "", most: int = 256_000_000) -> None:
        try:
            from dicomweb_client.api import DICOMwebClient
        except ImportError:
            raise MissingExtraError("zoo node", "dicomweb-client", "node") from None
        prepare_pydicom()
        for name in ("dicomweb_client", "urllib3"):  # their messages show identifiers, in addresses
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)

        def checked(response: Any, *_: object, **__: object) -> Any:
            if int(response.headers.get("Content-Length") or 0) > 2 * most:
                response.close()
                raise RefusedError("the server sent more than the limit on an image")
            return response

        headers = {"Authorization": f"Bearer {token}"} if token else None
        self.client: DICOMwebClient = DICOMwebClient(url, headers=headers, timeout=_SECONDS, callback=checked)
        self.client.set_http_retry_params(retry=False)

    def send(self, results: Sequence[Path], confirmed: Callable[[Path], None]) -> None:
        """Stores results one by one; see `zoo.node.archive.Archive.send`."""
        from pydicom import dcmread

        refused = ""
        for result in results:
            dataset = dcmread(result)
            try:
                with asked("the server"):
                    answer = self.client.store_instances([dataset])
            except RefusedError as error:
                refused = str(error)
                continue
            if answer.get("FailedSOPSequence"):
                reason = answer.FailedSOPSequence[0].get("FailureReason", 0)
                refused = f"the server refused {dataset.SOPClassUID.name} with status 0x{reason:04X}"
            else:
                confirmed(result)
        if refused:
            raise RefusedError(refused)


class Poller:
    """Looks for new radiographs on a server and puts them into the spool.

    A study is fetched when its number of images has not changed for the quiet time. Images that are in the spool, aside
    or done are not fetched again.

    Args:
        server: The server.
        spool: An opened spool.
        quiet: Seconds without a new image after which a study is complete.
        every: Seconds between two questions.
        days: Studies of today and of this many days before are looked at.
    """

    def __init__(self, server: WebServer, spool: Spool, quiet: float, every: float = 10.0, days: int = 1) -> None:
        self._server, self._spool, self._quiet, self._every, self._days = server, spool, quiet, every, days
        self._seen: dict[str, tuple[int, float]] = {}  # study -> its number of images, and since when
        self._looked: dict[str, int] = {}  # study -> number of images when it was fetched
        self._next = 0.0

    def poll(self) -> None:
        """Asks the server if it is time; see `zoo.node.running.Source`."""
        if time.monotonic() < self._next:
            return
        found = self._studies()
        now = time.monotonic()
        self._seen = {
            study: old if (old := self._seen.get(study, (-1, now)))[0] == number else (number, now)
            for study, number in found.items()
        }
        self._looked = {study: number for study, number in self._looked.items() if study in found}
        for study, (number, since) in self._seen.items():
            if self._looked.get(study) == number or now - since < self._quiet:
                continue
            try:
                fetched = self._fetch(study)
            except RefusedError as error:  # one study may not stop the others
                _LOG.error("a study is left out: %s", error)
                fetched = True
            if fetched:
                self._looked[study] = number
        self._next = time.monotonic() + min(self._every, max(self._quiet, 0.1))

    def _studies(self) -> dict[str, int]:
        """Studies with radiographs, and their numbers of images."""
        first = date.today() - timedelta(days=self._days)
        found: dict[str, int] = {}
        for modality in RADIOGRAPHS:
            filters = {"ModalitiesInStudy": modality, "StudyDate": f"{first:%Y%m%d}-"}
            offset = 0
            while True:
                with asked("the server"):
                    answers = self._server.client.search_for_studies(
                        search_filters=filters, fields=[_IMAGES], limit=_STUDIES, offset=offset
                    )
                found |= {_value(each, _STUDY): int(_value(each, _IMAGES) or 0) for each in answers}
                offset += len(answers)
                if len(answers) < _STUDIES:
                    break
        return {study: number for study, number in found.items() if study}

    def _fetch(self, study: str) -> bool:
        """Puts the new radiographs of a study into the spool, as one complete study; False if there is no room."""
        new = 0
        for modality in RADIOGRAPHS:
            with asked("the server"):
                answers = self._server.client.search_for_instances(study, search_filters={"Modality": modality})
            for answer in answers:
                series, image = _value(answer, _SERIES), _value(answer, _IMAGE)
                if self._spool.knows(study, image):
                    continue
                file = io.BytesIO()
                try:
                    with asked("the server"):
                        dataset = self._server.client.retrieve_instance(study, series, image)
                        dataset.save_as(file, enforce_file_format=True)
                    self._spool.take(study, image, file.getvalue())
                except RefusedError as error:
                    _LOG.error("an image is left out: %s", error)
                except SpoolFullError:
                    _LOG.warning("the spool is full: %d images of a study were fetched, the others later", new)
                    return False
                new += 1
        return True


@contextmanager
def asked(server: str) -> Iterator[None]:
    """Turns errors of a request into those of `zoo.node.archive`; their messages have no address.

    Raises:
        UnreachableError: No answer, or one of 401, 403, 408, 429 and 5xx, which may pass.
        RefusedError: Another answer, or one that is not understood.
    """
    from pydicom.errors import InvalidDicomError
    from requests import HTTPError, RequestException

    try:
        yield
    except HTTPError as error:
        status = 0 if error.response is None else error.response.status_code
        if status in (0, 401, 403, 408, 429) or status >= 500:
            raise UnreachableError(f"{server} answered with status {status}") from None
        raise RefusedError(f"{server} answered with status {status}") from None
    except RequestException as error:
        raise UnreachableError(f"{server} cannot be reached ({type(error).__name__})") from None
    except (InvalidDicomError, ValueError, KeyError, IndexError, AttributeError) as error:
        raise RefusedError(f"an answer of {server} is not understood ({type(error).__name__})") from None


def _value(answer: dict[str, dict[str, Any]], tag: str) -> str:
    """The first value of a tag in an answer; "" if there is none."""
    values = answer.get(tag, {}).get("Value") or [""]
    return str(values[0])
