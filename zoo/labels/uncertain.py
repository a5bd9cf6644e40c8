"""What an uncertain label (-1) becomes as a training target: a rule for each finding."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from zoo.core.errors import RecipeError, UnknownNameError

#: The mark of an uncertain label in a table (Irvin et al. 2019).
UNCERTAIN = -1.0

#: One rule for all findings, or finding -> rule; findings that are not named are unknown ("nan").
UncertainSpec: TypeAlias = str | Mapping[str, str]

_NAMED = {"nan": math.nan, "zero": 0.0, "one": 1.0}
_NUMBER = r"(\d+(?:\.\d+)?)"
_RANGE = re.compile(rf"{_NUMBER}\.\.{_NUMBER}")


@dataclass(frozen=True)
class Rule:
    """The target that replaces an uncertain label: a number, or one drawn evenly from a range.

    Attributes:
        low: Lower end, in 0..1; NaN leaves the label unknown.
        high: Upper end.
    """

    low: float
    high: float

    def __str__(self) -> str:
        fixed = self.low == self.high or math.isnan(self.low)
        return f"{self.low:g}" if fixed else f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True, eq=False)
class Targets:
    """Training targets.

    Attributes:
        values: float32 (n, k) in 0..1, NaN for unknown; fractions only where a rule says so.
        counts: Finding -> number of uncertain labels, of the findings that have some.
        rules: Finding -> rule, of the same findings.
    """

    values: np.ndarray
    counts: Mapping[str, int]
    rules: Mapping[str, Rule]

    def notes(self, where: str) -> list[str]:
        """Says how many labels each rule changed; `where` names the rows."""
        by_rule: dict[str, list[str]] = {}
        for finding, rule in self.rules.items():
            by_rule.setdefault(str(rule), []).append(finding)
        found = []
        for rule_text, findings in by_rule.items():
            each = ", ".join(f"{finding} {self.counts[finding]:,}" for finding in findings)
            did = "unknown" if rule_text == "nan" else rule_text
            total = sum(self.counts[finding] for finding in findings)
            found.append(f"{where}: uncertain labels taken as {did}: {total:,} ({each})")
        return found


def read_rule(text: str) -> Rule:
    """Reads a rule: "nan" (U-Ignore), "zero" (U-Zeros), "one" (U-Ones), or a range such as "0.55..0.85".

    U-Ignore, U-Zeros and U-Ones are those of Irvin et al. 2019 (CheXpert). A range smooths the label: the target is
    drawn evenly from it (label smoothing regularisation, Pham et al. 2021, who take 0.55..0.85 for U-Ones and 0..0.3
    for U-Zeros). "0.7..0.7" is always 0.7.

    Raises:
        RecipeError: Another text, or a range outside 0..1 or with its ends exchanged.

    Example:
        >>> read_rule("0.55..0.85"), str(read_rule("one"))
        (Rule(low=0.55, high=0.85), '1')
    """
    if text in _NAMED:
        return Rule(_NAMED[text], _NAMED[text])
    match = _RANGE.fullmatch(text)
    if match and 0 <= float(match[1]) <= float(match[2]) <= 1:
        return Rule(float(match[1]), float(match[2]))
    raise RecipeError(
        f"uncertain: a rule is 'nan', 'zero', 'one' or a range in 0..1 such as '0.55..0.85', got {text!r}"
    )


def read_rules(spec: UncertainSpec, findings: Sequence[str]) -> dict[str, Rule]:
    """Returns the rule of each finding.

    Raises:
        RecipeError: A rule is not understood.
        UnknownNameError: The mapping names another finding.

    Example:
        >>> {finding: str(rule) for finding, rule in read_rules({"Edema": "one"}, ["Edema", "Fracture"]).items()}
        {'Edema': '1', 'Fracture': 'nan'}
    """
    if isinstance(spec, str):
        return dict.fromkeys(findings, read_rule(spec))
    for finding in spec:
        if finding not in findings:
            raise UnknownNameError("finding (field 'uncertain')", finding, findings)
    return {finding: read_rule(spec.get(finding, "nan")) for finding in findings}


def targets(
    labels: np.ndarray, names: Sequence[str], findings: Sequence[str], spec: UncertainSpec, seed: int = 0
) -> Targets:
    """Replaces uncertain labels by training targets; all other labels stay as they are.

    A number from a range depends on the seed, the image's name and the finding alone, so neither the order of the rows
    nor a resumed run changes it.

    Args:
        labels: (n, k) of 1, 0, -1 (uncertain) and NaN.
        names: n image names.
        findings: k findings.
        spec: The rules.
        seed: Seed of the numbers drawn from ranges.

    Raises:
        RecipeError: A rule is not understood.
        UnknownNameError: A rule is for another finding.

    Example:
        >>> labels = np.array([[-1.0, 0.0], [-1.0, -1.0]])
        >>> targets(labels, ["a", "b"], ["Edema", "Mass"], {"Edema": "one"}).values.tolist()
        [[1.0, 0.0], [1.0, nan]]
    """
    values = np.array(labels, np.float32)
    rules = read_rules(spec, findings)
    counts = {}
    for j, (finding, rule) in enumerate(rules.items()):
        rows = np.flatnonzero(values[:, j] == UNCERTAIN)
        if len(rows):
            counts[finding] = len(rows)
            width = rule.high - rule.low
            drawn = [_share(seed, str(names[row]), finding) if width > 0 else 0.0 for row in rows.tolist()]
            values[rows, j] = rule.low + width * np.array(drawn)
    return Targets(values, counts, {finding: rules[finding] for finding in counts})


def _share(seed: int, image: str, finding: str) -> float:
    """A number in [0, 1) that depends on its three arguments alone."""
    digest = hashlib.blake2b(f"{seed}\0{image}\0{finding}".encode(errors="surrogatepass"), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / 2.0**53
