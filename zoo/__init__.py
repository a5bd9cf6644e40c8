"""xrayslam-zoo: a Keras 3 model zoo for the 14 CheXpert findings on chest X-rays.

Research software, not a medical device.

    >>> import zoo
    >>> model = zoo.load("xrayslam-ensemble")     # doctest: +SKIP
    >>> model.findings(["film.jpg"])              # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoo import backend as _backend

__version__ = "0.1.0"

# Public name -> module that holds it. Importing the package stays free; a name pulls in what it needs when first used.
_HOMES = {
    "FINDINGS": "zoo.findings",
    "LabelSchema": "zoo.findings",
    "Predictor": "zoo.predictor",
    "load": "zoo.loading",
    "predict_ensemble": "zoo.loading",
    "list_models": "zoo.registry",
    "info": "zoo.registry",
    "inspect": "zoo.sources",
    "register_ensemble": "zoo.registry",
    "register_backbone": "zoo.models.backbones",
    "register_head": "zoo.models.heads",
    "register_loss": "zoo.training.losses",
}

__all__ = [*_HOMES, "__version__"]

_backend.choose()

if TYPE_CHECKING:
    from zoo.findings import FINDINGS as FINDINGS
    from zoo.findings import LabelSchema as LabelSchema
    from zoo.loading import load as load
    from zoo.loading import predict_ensemble as predict_ensemble
    from zoo.models.backbones import register_backbone as register_backbone
    from zoo.models.heads import register_head as register_head
    from zoo.predictor import Predictor as Predictor
    from zoo.registry import info as info
    from zoo.registry import list_models as list_models
    from zoo.registry import register_ensemble as register_ensemble
    from zoo.sources import inspect as inspect
    from zoo.training.losses import register_loss as register_loss


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
