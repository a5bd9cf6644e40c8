"""Facts for the text of a card, from `hub_cards/<model>.toml` for known models; neutral text for others."""

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
    """Text about one data set.

    Attributes:
        title: Name; "" if unknown.
        id: Name without spaces, for the front matter.
        text: Description in sentences.
        limits: Limitations of a model trained on it, one sentence each.
        out_of_scope: Uses that a model trained on it is not suitable for.
        real: Whether the images are of patients, with labels extracted from their reports.
        license: The Hub's identifier of the licence of weights trained on it; "" if unknown.
        license_name: Name of the licence if the identifier is "other".
        license_link: Link to the text of the licence if the identifier is "other".
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
    """Text about one model, independent of its training data; text that depends on the data is in `data`.

    Attributes:
        backbones: Backbones that the text is valid for.
        summary: Description in one sentence.
        load: Name that `zoo.load` accepts on the machine where the model was made; "" for a folder.
        make: How the model is made.
        made_for: Key in `data` of the intended training data.
        untrained: Statement in a card without results.
        original: Figures published by other authors, with their source.
        intended: Additional lines on intended use.
        limits: Limitations, one sentence each.
        citation: BibTeX entries.
        data: Name of a data set, as in `provenance["data"]["name"]` -> text about it.
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
    """Returns the facts of a model known by name and backbones; otherwise neutral text without claims."""
    members = ", ".join(m.name for m in spec.members)
    neutral = ModelFacts(summary=f"Chest X-ray findings from {members}.")
    path = home.shipped("hub_cards") / f"{spec.name}.toml"
    # The name may come from an untrusted file and must not lead out of the folder.
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", spec.name) or not path.is_file():
        return neutral
    facts = from_dict(ModelFacts, tomllib.loads(path.read_text("utf-8")), path.name)
    return facts if facts.backbones == tuple(m.backbone for m in spec.members) else neutral


def of_data(facts: ModelFacts, provenance: Mapping[str, Any]) -> DataFacts:
    """Returns the facts of a model's training data by its name in the provenance; for unknown data only the name."""
    name = str(provenance.get("data", {}).get("name") or "")
    if name in facts.data:
        return facts.data[name]
    return DataFacts(title=name, id=re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.").lower())


def to_come(facts: ModelFacts) -> DataFacts:
    """Returns the facts of a model's intended training data; untrained weights have no licence."""
    return replace(facts.data.get(facts.made_for, DataFacts()), license="")
