"""Reads views: the category "Frontal" or "Lateral", and the position, such as "PA"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from zoo.core.csv import same_name
from zoo.labels.facts import is_unknown

#: Text of a view, without signs -> category and position; "" is unknown. DICOM's View Position (0018,5101) has PA, AP,
#: LL and RL; PadChest (Bustos et al. 2020) has AP_horizontal for images of patients in bed.
_VIEWS = {
    **dict.fromkeys(("pa", "posteroanterior", "postero anterior"), ("Frontal", "PA")),
    **dict.fromkeys(("ap", "anteroposterior", "appartial", "aphorizontal", "apsupine", "aperect"), ("Frontal", "AP")),
    **dict.fromkeys(("aplordotic", "apaxial", "lordotic"), ("Frontal", "AP")),
    **dict.fromkeys(("frontal",), ("Frontal", "")),
    **dict.fromkeys(("lateral", "l", "ll", "rl", "lat", "leftlateral", "rightlateral"), ("Lateral", "")),
}


def view_columns(
    positions: Sequence[str], categories: Sequence[str] = ()
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """Makes the canonical columns "ViewCategory" and "ViewPosition" from the texts of one or two columns.

    A view that is not understood stays in the position as it is, and its category is unknown.

    Args:
        positions: (n,) texts such as "PA" or "LATERAL", or () if there is no such column.
        categories: (n,) texts such as "Frontal", or ().

    Returns:
        The two columns, of what is known, and a sentence on texts that were not understood.

    Example:
        >>> view_columns(["PA", "LL", "COSTAL", ""])[0]["ViewCategory"]
        ('Frontal', 'Lateral', '', '')
    """
    if not positions and not categories:
        return {}, []
    texts = list(positions) or [""] * len(categories)
    read = [_VIEWS.get(same_name(text)) for text in texts]
    given = [_VIEWS.get(same_name(text), ("", ""))[0] for text in categories] or [""] * len(texts)
    category = tuple(own or (view[0] if view else "") for own, view in zip(given, read, strict=True))
    position = tuple(_position(text, view) for text, view in zip(texts, read, strict=True))
    strange = Counter(t for t, view in zip(texts, read, strict=True) if view is None and not is_unknown(t))
    shown = ", ".join(f"{text[:40]!r} ({n:,})" for text, n in strange.most_common(5))
    notes = [f"views that are not known, category from them unknown: {shown}"] if strange else []
    return {"ViewCategory": category, "ViewPosition": position}, notes


def _position(text: str, view: tuple[str, str] | None) -> str:
    """PA or AP; another position as it is written; "" if the text says the category only, or nothing."""
    if view is not None and view[1]:
        return view[1]
    return "" if is_unknown(text) or same_name(text) in ("frontal", "lateral", "l", "lat") else text.upper()
