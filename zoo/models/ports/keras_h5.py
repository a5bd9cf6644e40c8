"""DenseNet121 in the `.h5` files of older versions of Keras, whose names differ from today's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.models.ports import densenet
from zoo.models.ports.kinds import Port
from zoo.models.ports.layouts import Variable, same


def variables(port: Port, tensors: Mapping[str, np.ndarray]) -> list[Variable]:
    """The variables of backbone and head: the axes are ours, since the file is of Keras too."""
    ours = [row.ours for row in densenet.variables(port, {"features.conv0.weight": np.empty((64, 3, 7, 7))})]
    head = port.classifier.rpartition("/")[0]
    return [same(name, name.removeprefix("backbone/").replace("head/", f"{head}/")) for name in ours]
