"""Specifications of models as frozen dataclasses; `zoo.config.codec` reads and writes them."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, ClassVar

from zoo.config import weighting as weights
from zoo.config.codec import from_dict as from_dict
from zoo.config.codec import override as override
from zoo.config.codec import to_dict as to_dict
from zoo.config.json_schema import Keywords
from zoo.config.pixels import PixelSpec
from zoo.core.errors import RecipeError, UnknownNameError
from zoo.labels.findings import FINDINGS

#: Version of the saved format; a newer version is refused.
FORMAT_VERSION = 1

#: Limits that are checked before memory is allocated for a file.
MIN_IMAGE_SIZE, MAX_IMAGE_SIZE, MAX_MEMBERS, MAX_FINDINGS = 8, 2048, 32, 1024

#: Largest number of images that a file may state; every whole number up to it is exact as a float.
MAX_COUNT = 2**53

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")

#: A member's name is also used for a file, a layer, and a row in the table of choices of weights, so names that some of
#: these already have are excluded.
_TAKEN = ("ensemble", "parity", "trained_on", "gate", "tested", "image", "logits", *weights.CHOICES)

#: JSON Schema patterns and limits for the same rules; JSON Schema accepts no numbers beyond these limits.
NAME_PATTERN, MAX_NUMBER = f"^{_NAME.pattern}$", sys.float_info.max
MEMBER_NAME = Keywords(pattern=NAME_PATTERN, **{"not": {"enum": list(_TAKEN)}})

#: Types of output names (one per finding) and of counts and shares; `__post_init__` checks the same limits.
Names = Annotated[tuple[str, ...], Keywords(minItems=1, maxItems=MAX_FINDINGS, uniqueItems=True)]
Positive = Annotated[float, Keywords(exclusiveMinimum=0, maximum=MAX_NUMBER)]
_Weight = Annotated[float, Keywords(minimum=0, maximum=MAX_NUMBER)]
_Row = Annotated[tuple[_Weight, ...], Keywords(maxItems=MAX_FINDINGS)]


@dataclass(frozen=True)
class MemberSpec:
    """One classifier: a backbone, a head, and its training options.

    Attributes:
        backbone: Registered name, such as "densenet121".
        head: Registered name: "gap", "gem", "attention" or "norm".
        dropout: Dropout rate before the last dense layer.
        weights: Initial weights for training: "imagenet", the path of a weights file, or None (random). Not used when a
            release is loaded.
        batch_norm_momentum: Momentum of batch normalisation; None keeps the architecture's own. Short runs from random
            weights need about 0.9.
        zero_residuals: Whether a member with random weights starts with the last scale in the branch of each residual
            block at 0 (`zoo.models.residuals`), which helps short runs.
        drop_path: Stochastic depth (Huang et al. 2016): in training the branch of the last block is left out for an
            image with this probability, that of an earlier block with one that falls linearly to 0. None keeps the
            architecture's own (0.2 for EfficientNets).
        alias: Name of the member in the ensemble, if it differs from the backbone's name.
        pixels: Pixel values that the weights expect, as numbers; None for those of the architecture.

    Example:
        >>> MemberSpec("densenet121", head="gem", alias="gem-member").name
        'gem-member'
    """

    backbone: str
    head: str = "gap"
    dropout: Annotated[float, Keywords(minimum=0, exclusiveMaximum=1)] = 0.3
    weights: str | None = None
    batch_norm_momentum: Annotated[float, Keywords(minimum=0, exclusiveMaximum=1)] | None = None
    zero_residuals: bool = False
    drop_path: Annotated[float, Keywords(minimum=0, exclusiveMaximum=1)] | None = None
    alias: str = ""
    pixels: PixelSpec | None = None

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or self.name in _TAKEN:
            rule = f"letters, digits, '.', '_' and '-' (at most 96), and is none of {', '.join(_TAKEN)}"
            raise RecipeError(f"a member's name has {rule}; got {self.name[:80]!r}")
        if not 0.0 <= self.dropout < 1.0:
            raise RecipeError(f"member {self.name!r}: dropout must be in [0, 1), got {self.dropout}")
        if self.batch_norm_momentum is not None and not 0.0 <= self.batch_norm_momentum < 1.0:
            raise RecipeError(
                f"member {self.name!r}: batch_norm_momentum must be in [0, 1), or None, got {self.batch_norm_momentum}"
            )
        if self.zero_residuals and self.weights is not None:
            raise RecipeError(
                f"member {self.name!r}: zero_residuals changes random weights, but it starts from {self.weights!r}"
            )
        if self.drop_path is not None and not 0.0 <= self.drop_path < 1.0:
            raise RecipeError(f"member {self.name!r}: drop_path must be in [0, 1), or None, got {self.drop_path}")

    @property
    def name(self) -> str:
        """Name of the member: its alias, or the name of its backbone."""
        return self.alias or self.backbone


@dataclass(frozen=True)
class EnsembleSpec:
    """Members with a common input whose logits are averaged.

    Attributes:
        name: Name of the model.
        members: One or more members with distinct names.
        image_size: Height and width of the input in pixels.
        findings: Names of the outputs, in order.
        weighting: "uniform" for the unweighted mean; one non-negative weight for each member, or one row of such
            weights (one for each finding) for each member, in the members' order; in a recipe also "fitted" or
            "fitted_per_finding", for weights that are fitted on the validation part after training.
        untrained: Findings that no data trained: their logits mean nothing, and their probabilities are NaN.

    Example:
        >>> spec = EnsembleSpec("pair", (MemberSpec("densenet121"), MemberSpec("resnet50")), findings=("Edema",))
        >>> [member.name for member in spec.members], spec.image_size
        (['densenet121', 'resnet50'], 224)
    """

    name: Annotated[str, Keywords(pattern=NAME_PATTERN)]
    members: Annotated[tuple[MemberSpec, ...], Keywords(minItems=1, maxItems=MAX_MEMBERS)]
    image_size: Annotated[int, Keywords(minimum=MIN_IMAGE_SIZE, maximum=MAX_IMAGE_SIZE)] = 224
    findings: Names = FINDINGS
    weighting: weights.Word | Annotated[tuple[_Weight | _Row, ...], Keywords(maxItems=MAX_MEMBERS)] = "uniform"
    untrained: Annotated[tuple[str, ...], Keywords(maxItems=MAX_FINDINGS, uniqueItems=True)] = ()

    #: Field in files written before -> its name today; an empty list of weights meant the unweighted mean.
    FORMER: ClassVar = {"member_weights": "weighting"}

    def __post_init__(self) -> None:
        object.__setattr__(self, "weighting", weights.tidied(self.weighting))
        names = [m.name for m in self.members]
        if not _NAME.fullmatch(self.name):
            rule = "letters, digits, '.', '_' and '-' (at most 96)"
            raise RecipeError(f"an ensemble's name has {rule}; got {self.name[:80]!r}")
        if not 1 <= len(names) <= MAX_MEMBERS:
            raise RecipeError(f"ensemble {self.name!r}: 1 to {MAX_MEMBERS} members, got {len(names)}")
        if len(set(names)) != len(names):
            raise RecipeError(f"ensemble {self.name!r}: members need different names, got {names}")
        if len(names) > 1 and self.name in names:
            raise RecipeError(f"ensemble {self.name!r}: a member of several needs a name other than the ensemble's")
        if not MIN_IMAGE_SIZE <= self.image_size <= MAX_IMAGE_SIZE:
            raise RecipeError(f"image_size must be {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE}, got {self.image_size}")
        if not 1 <= len(self.findings) <= MAX_FINDINGS or len(set(self.findings)) != len(self.findings):
            raise RecipeError(f"findings must be 1 to {MAX_FINDINGS} different names, got {self.findings}")
        if strange := [name for name in self.untrained if name not in self.findings]:
            raise RecipeError(f"ensemble {self.name!r}: untrained {strange[0]!r} is none of its findings")
        if len(set(self.untrained)) == len(self.findings):
            raise RecipeError(f"ensemble {self.name!r}: all of its findings are untrained")
        if wrong := weights.problem(self.weighting, len(names), self.findings, self.untrained):
            raise RecipeError(wrong)

    @property
    def shares(self) -> tuple[tuple[float, ...], ...]:
        """One row for each member: its share in the mean of each finding; see `weighting.by_finding`."""
        return weights.by_finding(weights.numbers(self.weighting), len(self.members), len(self.findings))

    @property
    def speaking(self) -> dict[str, tuple[str, ...]]:
        """Finding -> names of the members whose logits are averaged for it."""
        names = [member.name for member in self.members]
        return {
            finding: tuple(name for name, share in zip(names, column, strict=True) if share)
            for finding, column in zip(self.findings, zip(*self.shares, strict=True), strict=True)
        }

    def member(self, name: str) -> MemberSpec:
        """Returns the member with this name."""
        for member in self.members:
            if member.name == name:
                return member
        raise UnknownNameError("member", name, [m.name for m in self.members])

    def only(self, names: Collection[str]) -> EnsembleSpec:
        """Returns the spec of these members alone, with their shares made to sum to 1 again.

        A finding for which none of them speaks becomes untrained. Members whose weights are all 0 are weighted equally.
        """
        kept = [i for i, member in enumerate(self.members) if member.name in names]
        members, given = tuple(self.members[i] for i in kept), self.weighting
        if not isinstance(given, str):
            given = tuple(given[i] for i in kept)
            by_finding = any(isinstance(weight, tuple) for weight in given)
            given = given if by_finding or any(given) else "uniform"
        elif len(kept) == 1:
            given = "uniform"
        shares = weights.by_finding(weights.numbers(given), len(kept), len(self.findings))
        silent = {f for f, column in zip(self.findings, zip(*shares, strict=True), strict=True) if not sum(column)}
        untrained = tuple(f for f in self.findings if f in silent or f in self.untrained)
        return dataclasses.replace(self, members=members, weighting=given, untrained=untrained)

    def without_paths(self) -> EnsembleSpec:
        """Returns a copy with file names instead of local paths, for publication."""
        named = (dataclasses.replace(m, weights=m.weights and PurePath(m.weights).name) for m in self.members)
        return dataclasses.replace(self, members=tuple(named))
