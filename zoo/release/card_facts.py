"""What a card says in words: facts of the models we know (`hub_cards/<model>.toml`), neutral words for any other."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from zoo.config.specs import EnsembleSpec, from_dict
from zoo.core import home


@dataclass(frozen=True)
class DataFacts:
    """Words on one data set.

    Attributes:
        title: Its name; "" when nobody recorded it.
        id: Its name without spaces, for the front matter.
        text: What it is, in sentences.
        limits: What it does to a model trained on it, a sentence each.
        out_of_scope: What a model trained on it is not for.
        real: Images of patients, with labels extracted from their reports.
        license: The Hub's id of the licence of weights trained on it, where that is known; "" otherwise.
        license_name: Its name, where the id is "other".
        license_link: Where its text is, then.
    """

    title: str = ""
    id: str = ""
    text: str = ""
    limits: tuple[str, ...] = ()
    out_of_scope: tuple[str, ...] = ()
    real: bool = True
    license: str = ""
    license_name: str = ""
    license_link: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """Words on one model, whatever it was trained on; what depends on the data is in `data`.

    Attributes:
        backbones: The words hold for a model of these backbones alone.
        summary: What it is, in a sentence.
        load: The name that `zoo.load` takes on a machine where it was made; "" for a folder.
        make: How it comes about.
        made_for: The entry of `data` it is to be trained on.
        untrained: What a card without results says of them.
        original: Figures of other authors, with their source.
        intended: More lines on intended use.
        limits: A sentence each.
        citation: BibTeX entries.
        data: Name of a data set, as in `provenance["data"]["name"]` -> words on it.
    """

    backbones: tuple[str, ...] = ()
    summary: str = ""
    load: str = ""
    make: str = ""
    made_for: str = ""
    untrained: str = ""
    original: str = ""
    intended: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()
    citation: tuple[str, ...] = ()
    data: Mapping[str, DataFacts] = field(default_factory=dict)


def of_model(spec: EnsembleSpec) -> ModelFacts:
    """The facts of a model known by name and backbones; else neutral words that claim nothing."""
    members = ", ".join(m.name for m in spec.members)
    neutral = ModelFacts(summary=f"Chest X-ray findings from {members}.")
    path = home.shipped("hub_cards") / f"{spec.name}.toml"
    # A name may come from anywhere, and must not lead out of the folder.
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", spec.name) or not path.is_file():
        return neutral
    facts = from_dict(ModelFacts, tomllib.loads(path.read_text("utf-8")), path.name)
    return facts if facts.backbones == tuple(m.backbone for m in spec.members) else neutral


def of_data(facts: ModelFacts, provenance: Mapping[str, Any]) -> DataFacts:
    """The facts of the data a model was trained on, by the name its provenance gives; of none, only that name."""
    name = str(provenance.get("data", {}).get("name") or "")
    if name in facts.data:
        return facts.data[name]
    return DataFacts(title=name, id=re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.").lower())


def to_come(facts: ModelFacts) -> DataFacts:
    """The facts of the data a model is to be trained on; of weights that are not there, no licence is known."""
    return replace(facts.data.get(facts.made_for, DataFacts()), license="")
