"""xrayslam-zoo: a Keras 3 model zoo for the 14 CheXpert findings on chest X-rays.

Research software, not a medical device.

    >>> import zoo
    >>> model = zoo.load("nih-lite")              # doctest: +SKIP
    >>> model.findings(zoo.example_images())      # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from zoo._version import __version__ as __version__
from zoo.core import backend as _backend

# Public name -> module that holds it. Importing the package stays free; a name pulls in what it needs when first used.
_HOMES = {
    "FINDINGS": "zoo.labels.findings",
    "LabelSchema": "zoo.labels.findings",
    "Limits": "zoo.data.images.limits",
    "BatchPredictor": "zoo.inference.batch",
    "Predictor": "zoo.inference.predictor",
    "load": "zoo.inference.load",
    "predict_ensemble": "zoo.inference.load",
    "free_models": "zoo.inference.load",
    "list_models": "zoo.names.registry",
    "info": "zoo.names.registry",
    "inspect": "zoo.names.sources",
    "example_images": "zoo.core.home",
    "register_ensemble": "zoo.names.registry",
    "register_backbone": "zoo.models.backbones",
    "register_head": "zoo.models.heads",
    "register_loss": "zoo.training.losses",
}

__all__ = [*_HOMES, "__version__"]

_backend.choose()

if TYPE_CHECKING:
    from zoo.core.home import example_images as example_images
    from zoo.data.images.limits import Limits as Limits
    from zoo.inference.batch import BatchPredictor as BatchPredictor
    from zoo.inference.load import free_models as free_models
    from zoo.inference.load import load as load
    from zoo.inference.load import predict_ensemble as predict_ensemble
    from zoo.inference.predictor import Predictor as Predictor
    from zoo.labels.findings import FINDINGS as FINDINGS
    from zoo.labels.findings import LabelSchema as LabelSchema
    from zoo.models.backbones import register_backbone as register_backbone
    from zoo.models.heads import register_head as register_head
    from zoo.names.registry import info as info
    from zoo.names.registry import list_models as list_models
    from zoo.names.registry import register_ensemble as register_ensemble
    from zoo.names.sources import inspect as inspect
    from zoo.training.losses import register_loss as register_loss


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
