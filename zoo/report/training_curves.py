"""The section with the training curves of each member, from the rows of `history.csv`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.report.drawing import LIGHT, SERIES
from zoo.report.layout import Chart, Margins, Panel, Section, decimals

_ID, _TITLE = "training", "Training"


@dataclass(frozen=True)
class _Epoch:
    stage: str
    loss: float
    val_loss: float
    val_auc: float


def section(history: Iterable[Mapping[str, Any]] | None) -> Section:
    """The section with loss and AUC of each member over the epochs.

    Args:
        history: Rows with `job`, `stage`, `loss`, `val_loss` and `val_auc`, in order; text or numbers, "" if missing.

    >>> section(None).absent
    'The history of a training run was not given.'
    """
    members: dict[str, list[_Epoch]] = {}
    for row in history or ():
        stage = str(row.get("stage") or "")
        member = str(row.get("job") or "model").removesuffix(stage).strip() or "model"
        numbers = [_number(row.get(key)) for key in ("loss", "val_loss", "val_auc")]
        members.setdefault(member, []).append(_Epoch(stage, *numbers))
    if not members:
        return Section(_ID, _TITLE, absent="The history of a training run was not given.")
    panels = [
        panel
        for member, epochs in members.items()
        for panel in (_losses(member, epochs), _aucs(member, epochs))
        if panel is not None
    ]
    words = (
        "A vertical line marks a new stage. The validation part is not used for training; the test part is not shown."
    )
    return Section(_ID, _TITLE, charts=(Chart("training", "Training curves", tuple(panels), words),))


def _losses(member: str, epochs: Sequence[_Epoch]) -> Panel | None:
    curves = {"training part": [e.loss for e in epochs], "validation part": [e.val_loss for e in epochs]}
    return _panel(f"{member}: loss", "Loss", epochs, curves)


def _aucs(member: str, epochs: Sequence[_Epoch]) -> Panel | None:
    values = [e.val_auc for e in epochs]
    return _panel(f"{member}: AUC", "Mean AUC", epochs, {"validation part": values}, best=True)


def _panel(
    title: str, axis: str, epochs: Sequence[_Epoch], curves: Mapping[str, Sequence[float]], best: bool = False
) -> Panel | None:
    known = {name: values for name, values in curves.items() if not all(math.isnan(v) for v in values)}
    if not known:
        return None
    steps = list(range(1, len(epochs) + 1))
    starts = [i for i in steps[1:] if epochs[i - 1].stage != epochs[i - 2].stage]

    def draw(axes: Any) -> None:
        from matplotlib.ticker import MaxNLocator

        for start in starts:
            axes.axvline(start - 0.5, color=LIGHT["muted"], linewidth=1, linestyle=(0, (1, 2)))
        for i, (name, values) in enumerate(known.items()):
            axes.plot(steps, values, label=name, **_series(i if len(curves) > 1 else 1))
        if best:
            top = max((v, -step) for v, step in zip(next(iter(known.values())), steps, strict=True) if v == v)
            axes.plot(
                [-top[1]],
                [top[0]],
                "o",
                markersize=11,
                fillstyle="none",
                color=LIGHT["ink"],
                label="best",
                linestyle="",
            )
        axes.set_xlim(0.5, len(steps) + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.set_xlabel("Epoch")
        axes.set_ylabel(axis)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.19), ncols=2)

    ends = "; ".join(f"{name} from {decimals(v[0])} to {decimals(v[-1])}" for name, v in known.items())
    description = f"{axis} over {len(steps)} epochs: {ends}."
    return Panel(title, description, draw, size=(3.4, 2.9), margins=Margins(left=0.58, top=0.1))


def _series(i: int) -> dict[str, Any]:
    return dict(SERIES[i]) | {"markersize": 4}


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
