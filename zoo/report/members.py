"""The section on the members of an ensemble: their weights, what each adds, and what other weights would give."""

from __future__ import annotations

from zoo.evaluation.result import Evaluation
from zoo.evaluation.result.members import Members
from zoo.evaluation.tables import choice_name, how_weighted, worse_than_a_member
from zoo.labels.parts import spoken_part
from zoo.report.layout import Cell, Section, Table


def sections(result: Evaluation) -> list[Section]:
    """The section, or none for an evaluation without members."""
    block = result.members
    if block is None:
        return []
    words = (
        f"{how_weighted(block)} Greedy selection (Caruana et al. 2004) adds the member that lowers the log loss of the "
        "mean most, again and again. Without a member, the weights of the others are made to sum to 1; numbers above 0 "
        "in the last two columns say that the member helps.",
        *(line.replace("`", "") for line in worse_than_a_member(result)),
    )
    return [Section("members", "The members", words=words, tables=(_members(block), _choices(block, result.split)))]


def _members(block: Members) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (name, m.weight, m.greedy, m.log_loss, m.without_log_loss, m.without_auc) for name, m in block.members.items()
    ]
    head = (
        "Member",
        "Weight",
        "Greedy selection",
        "Log loss alone",
        "Log loss added without it",
        "AUC lost without it",
    )
    return Table(f"The members; log losses in nats on the {spoken_part(block.fitted_on)}", head, tuple(rows))


def _choices(block: Members, split: str) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (
            choice_name(name, block),
            choice.auc,
            choice.log_loss,
            choice.auc_difference or "in use",
            choice.log_loss_difference or "in use",
        )
        for name, choice in block.choices.items()
    ]
    head = (
        "Weights",
        "Mean AUC",
        "Log loss",
        "AUC of those in use minus this",
        "Log loss of those in use minus this",
    )
    return Table(f"What other weights would give on the {spoken_part(split)}", head, tuple(rows))
