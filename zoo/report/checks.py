"""The sections on contradictions between findings and on data leakage."""

from __future__ import annotations

from collections.abc import Mapping

from zoo.core.counting import counted
from zoo.evaluation.result import Estimate, Evaluation
from zoo.evaluation.result.checks import Reordering, SameImages, SharedNames
from zoo.report.layout import Cell, Section, Table, listed

#: Largest number of images left out that are shown without opening the table.
_OPEN = 10


def coherence(result: Evaluation) -> Section:
    """The section on contradictions between findings, as counted by `coherence.contradictions`."""
    block = result.coherence
    if block is None or not (block.children or block.normal):
        return Section(
            "coherence", "Coherence", absent="There are no rules between these findings, so nothing was checked."
        )
    contradictions = {f"{child} without {own.parent}": own for child, own in block.children.items()}
    rows: list[tuple[Cell, ...]] = [
        (what, own.probability.n, own.probability, own.calls) for what, own in contradictions.items()
    ]
    rows += [
        (f"{finding} beside the normal finding", own.probability.n, own.probability, own.calls)
        for finding, own in block.normal.items()
    ]
    rows.append(("Any of these", block.any.probability.n, block.any.probability, block.any.calls))
    tables = [
        Table(
            "Share of images that contradict themselves",
            ("Contradiction", "Images", "In probability", "In calls"),
            tuple(rows),
            last_is_mean=True,
        )
    ]
    if result.projection:
        tables.append(_projection(result.projection))
    return Section(
        "coherence",
        "Coherence",
        words=(
            "A finding contradicts its parent if it is more probable than the parent. It contradicts the normal "
            "finding if the two probabilities add up to more than 1. Calls are those at the operating point.",
        ),
        notes=tuple(f"Not checked, since a finding is missing: {rule}." for rule in block.skipped),
        tables=tuple(tables),
    )


def _projection(projection: Mapping[str, Reordering]) -> Table:
    """The table of `coherence.reordering`."""
    rows = tuple(
        (
            finding,
            own.reordered.n,
            own.reordered.positives,
            *(n.value if n else None for n in (own.reordered, own.mean_change, own.largest_change)),
        )
        for finding, own in projection.items()
    )
    head = ("Finding", "Images", "Changed", "Pairs reordered", "Mean change", "Largest change")
    return Table("What making the probabilities coherent does to each finding", head, rows)


def leakage(result: Evaluation) -> Section:
    """The section on data leakage: images, patients and files shared with training, and images that occur twice."""
    blocks, seen = result.leakage or {}, result.trained_on
    rows: list[tuple[Cell, ...]] = []
    notes: list[str] = []
    compared = seen is not None
    if seen is not None:
        rows.append(("files that the model was trained on", *_share(seen.training)))
        rows.append(("files of its validation part", *_share(seen.validation)))
        notes.append(
            "The release knows the files of its training and validation parts; a copy that was resized or saved anew "
            "is another file, and is not found."
        )
        notes += [f"{counted(seen.not_compared, 'image')} could not be read and compared."] * bool(seen.not_compared)
    for name, found in blocks.items():
        if isinstance(found, SharedNames):
            rows.append((f"{name}: shared with training", *_share(found.shared)))
            rows.append((f"{name}: affected images", *_share(found.rows)))
            notes += _said_of_names(name, found)
            compared = True
        else:
            if found.with_train is not None:
                rows.append((f"{name}: the same image in training", *_share(found.with_train)))
                compared = True
            rows.append((f"{name}: repeats another evaluated image", *_share(found.within)))
            notes += _said_of_images(name, found)
    nothing = "The training images were not given, so they were not compared."
    if not rows:
        return Section("leakage", "Leakage", absent=nothing)
    table = Table("What the evaluated images share with training", ("What", "Found", "Of", "Share"), tuple(rows))
    return Section(
        "leakage",
        "Leakage",
        words=("Results on images or patients that a model was trained on are too optimistic.",),
        notes=tuple(notes if compared else [nothing, *notes]),
        tables=(table,),
    )


def left_out(result: Evaluation) -> list[Section]:
    """The section on images of the table that could not be evaluated; none if there were none."""
    block = result.left_out
    if block is None:
        return []
    words = f"{block.images.positives:,} of {counted(block.images.n, 'image')} of the table have no figures."
    caption = "Images without a file, or that cannot be read"
    caption += f" (the first {len(block.first):,})" * (len(block.first) < block.images.positives)
    rows = tuple((image.image, image.reason) for image in block.first)
    table = Table(caption, ("Image", "Reason"), rows, folded=len(rows) > _OPEN)
    return [Section("left-out", "Images left out", words=(words,), tables=(table,))]


def _said_of_names(name: str, found: SharedNames) -> list[str]:
    said = []
    if found.unknown:
        said.append(f"{name}: unknown for {counted(found.unknown, 'image')}, which could not be checked.")
    if found.names:
        said.append(f"{name} shared with training: {listed(found.names)}.")
    return said


def _said_of_images(name: str, found: SameImages) -> list[str]:
    said = [f"{name}: {counted(found.not_compared, 'image')} could not be compared."] if found.not_compared else []
    said += [f"{p.evaluated} is the same image as {p.train} of the training part (equal {p.by})." for p in found.pairs]
    return said + [f"The same image: {listed(group)}." for group in found.groups]


def _share(number: Estimate) -> tuple[Cell, Cell, Cell]:
    return number.positives, number.n, number.value
