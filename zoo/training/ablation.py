"""Ablations: one recipe, and what is taken out of it to see what it was worth (`zoo ablate`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from zoo.config.codec import override
from zoo.core.errors import RecipeError
from zoo.core.seeds import check_seed
from zoo.training.recipe import Recipe, run_definition, split_override

#: Name of the variant from which nothing is taken out.
ALL = "all"

#: Fields of the recipe that are the same for all variants: those of one seed are compared on one test part.
_SHARED = ("seed", "split", "dataset", "table")

#: Fields of the recipe that change nothing that is trained or scored.
_IDLE = ("name", "cache", "checkpoint_minutes", "fill_missing")


@dataclass(frozen=True)
class Variant:
    """A recipe as it is trained, and how its predictions are scored.

    Attributes:
        recipe: The recipe.
        by_study: Whether each image gets the mean logits of its study.
    """

    recipe: Recipe
    by_study: bool


@dataclass(frozen=True)
class Ablation:
    """A recipe with all its ingredients, and the changes that take each of them out.

    Attributes:
        name: Name of the ablation.
        recipe: The recipe with all ingredients.
        without: Ingredient -> changes in the form "path=value" that take it out: of the recipe ("recipe.loss.name=bce")
            or of this object ("by_study=false").
        seeds: Seeds of the recipe; every variant is trained once with each. The split is the same for all.
        by_study: Whether each image gets the mean logits of its study, since labels that were read from reports are the
            same for all images of a study. The objection: an image that does not show the finding is called positive
            all the same, and a single image of a patient in practice has no other images to lean on.

    Raises:
        RecipeError: No ingredients, an ingredient called "all", fewer than two seeds or equal ones, or a change that
            changes nothing or that does not fit; the message names it.

    Example:
        >>> from zoo.training.recipe import load_recipe
        >>> ablation = Ablation("small", load_recipe("xrayslam_demo"), {"weights": ("recipe.loss.weight_range=null",)})
        >>> ablation.variant("weights", seed=1).recipe.loss.weight_range is None
        True
    """

    name: str
    recipe: Recipe
    without: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0, 1, 2)
    by_study: bool = False

    def __post_init__(self) -> None:
        if not self.without or ALL in self.without:
            raise RecipeError(f"ablation {self.name!r}: name one ingredient or more, none of them {ALL!r}")
        if len(self.seeds) < 2 or len(set(self.seeds)) != len(self.seeds):
            raise RecipeError(f"ablation {self.name!r}: two different seeds or more, got {self.seeds}")
        for seed in self.seeds:
            check_seed(seed)
        for ingredient in self.without:
            if wrong := self._wrong(ingredient):
                raise RecipeError(f"ablation {self.name!r}: without {ingredient!r} {wrong}")

    def _wrong(self, ingredient: str) -> str:
        """What is wrong with the changes that take out an ingredient; "" if nothing is."""
        whole, less = (self.variant(name, self.seeds[0]) for name in (ALL, ingredient))
        idle = {field: getattr(whole.recipe, field) for field in _IDLE}
        if replace(less, recipe=replace(less.recipe, **idle)) == whole:
            return "nothing changes"
        other = [field for field in _SHARED if getattr(less.recipe, field) != getattr(whole.recipe, field)]
        if less.recipe.ensemble.findings != whole.recipe.ensemble.findings:
            other.append("ensemble.findings")
        return f"recipe.{other[0]} changes, which is the same for all variants" if other else ""

    @property
    def variants(self) -> tuple[str, ...]:
        """All variants: "all", then one without each ingredient."""
        return (ALL, *self.without)

    def variant(self, name: str, seed: int) -> Variant:
        """Returns what is trained and scored: everything, or everything but one ingredient, with a seed."""
        changed = Variant(replace(self.recipe, seed=seed), self.by_study)
        for text in () if name == ALL else self.without[name]:
            changed = override(changed, *split_override(text))
        return changed


def load_ablation(name_or_path: str | Path) -> Ablation:
    """Loads the variable `ablation` of a Python file, which is executed: load only files that you trust.

    Args:
        name_or_path: Name of a file shipped with the package, such as "ablation", or path of a `.py` file.

    Raises:
        UnknownNameError: No shipped file has that name.
        FileNotFoundError: No such file.
        RecipeError: The file defines no `ablation`.
    """
    path, defined = run_definition(name_or_path)
    ablation = defined.get("ablation")
    if not isinstance(ablation, Ablation):
        raise RecipeError(f"{path}: expected an Ablation called 'ablation', got {type(ablation).__name__}")
    return ablation
