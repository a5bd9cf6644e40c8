"""Sending a predictor to another process: only where it was loaded from is sent, and it is loaded again there."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any, NamedTuple

from zoo.config.tta import TtaSpec
from zoo.core.errors import ReleaseError, ZooError
from zoo.data.images.limits import Limits
from zoo.evaluation.decision import Decision
from zoo.gate.verdict import OnReject
from zoo.inference.starting import LoadOptions

if TYPE_CHECKING:
    from zoo.inference.predictor import Predictor


class Origin(NamedTuple):
    """Where a predictor was loaded from (a reference or a folder), and how."""

    name: str
    options: LoadOptions


def load_again(
    kind: type[Predictor],
    origin: Origin,
    manifest_sha256: str,
    decision: dict[str, Any] | None,
    name: str,
    limits: Limits,
    on_reject: OnReject = "warn",
    tta: TtaSpec | None = None,
) -> Predictor:
    """Loads a predictor that was pickled, in the process that it was sent to.

    In a worker of `multiprocessing` an error is raised at the first use: raised here, while the worker reads its task,
    it would end the worker, and the pool would start another one for ever.

    Args:
        kind: The class of the predictor.
        origin: Where it was loaded from.
        manifest_sha256: Hash of the manifest of its release.
        decision: Its decision as a dictionary, or None.
        name: The name it was loaded by.
        limits: Its limits for an image.
        on_reject: What it does with a rejected image.
        tta: Its views, where it has no decision.

    Raises:
        ReleaseError: The origin holds another release by now.
        ZooError: As `zoo.load`.
    """
    try:
        found = kind.load(*origin)
        if found.manifest_sha256 != manifest_sha256:
            raise ReleaseError(
                f"{origin.name} holds another release (manifest {found.manifest_sha256[:12]}) than the one that was "
                f"loaded ({manifest_sha256[:12]}): load the model again"
            )
    except (ZooError, OSError) as error:
        if multiprocessing.parent_process() is None:
            raise
        return _not_loaded(kind, error, (kind, origin, manifest_sha256, decision, name, limits, on_reject, tta))
    found.name, found.limits, found.on_reject = name, limits, on_reject
    found = found.with_tta(tta)
    found.decision = None if decision is None else Decision.from_dict(decision)
    return found


def _not_loaded(kind: type[Predictor], error: Exception, sent: tuple[Any, ...]) -> Predictor:
    """A predictor whose use raises the reason. Its methods can be found, as a pool does before it calls one."""

    class NotLoaded(kind):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            pass

        def __reduce__(self) -> tuple[Any, ...]:
            return load_again, sent

        def __repr__(self) -> str:
            return f"Predictor({error})"

        def __getattr__(self, name: str) -> Any:
            if name.startswith("_"):
                raise AttributeError(name)
            raise error

    return NotLoaded()
