"""How a student is built, and the recipe that it is trained by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Protocol

from zoo.config.specs import EnsembleSpec, MemberSpec
from zoo.data import augment
from zoo.data.splits import SplitSpec
from zoo.data.tables.spec import TableSpec
from zoo.models import architectures
from zoo.training.recipe import LossSpec, Recipe, Stage
from zoo.training.teaching import TeachingSpec


@dataclass(frozen=True)
class Student:
    """How a student is built and learns.

    Attributes:
        backbone: Registered name, such as "efficientnetlite0".
        weights: What it starts from: "auto" for ImageNet where there are such weights and random ones elsewhere;
            "random"; or what `MemberSpec.weights` takes.
        temperature: By which the logits of teacher and student are divided in the loss.
        alpha: Weight of the labels in the loss, in [0, 1).

    Example:
        >>> Student("efficientnetlite0").start, Student("mobilenetv3small").start, Student("tiny").start
        ('efficientnetlite0-imagenet', 'imagenet', None)
    """

    backbone: str
    weights: str = "auto"
    temperature: float = 2.0
    alpha: float = 0.0

    @property
    def start(self) -> str | None:
        """What `MemberSpec.weights` is.

        Raises:
            UnknownNameError: No such backbone.
        """
        row = architectures.get(self.backbone)
        if self.weights == "auto":
            return _IMAGENET.get(self.backbone) or ("imagenet" if row.imagenet_url else None)
        return None if self.weights == "random" else self.weights


#: Backbones whose ImageNet weights are published weights of the catalog.
_IMAGENET = {"efficientnetlite0": "efficientnetlite0-imagenet"}


class Teacher(Protocol):
    """What is asked of a teacher, such as a `Predictor`."""

    name: str
    manifest_sha256: str
    spec: EnsembleSpec

    @property
    def trained(self) -> tuple[bool, ...]:
        """Whether each finding was trained."""
        ...


def student_recipe(student: Student, teacher: Teacher, columns: TableSpec | None = None) -> Recipe:
    """Returns the recipe of a student: one member, the teacher's image size and findings, one stage.

    Findings that the teacher was not trained on stay untrained.

    Args:
        student: How it is built and learns.
        teacher: The model that it learns from.
        columns: Names of the columns, for a table of one's own.

    Raises:
        UnknownNameError: No such backbone.
        RecipeError: A number is out of range.
    """
    spec = teacher.spec
    silent = tuple(f for f, trained in zip(spec.findings, teacher.trained, strict=True) if not trained)
    member = MemberSpec(student.backbone, dropout=0.0, weights=student.start, batch_norm_momentum=0.9)
    plain = PurePath(teacher.name).name
    return Recipe(
        name=f"{student.backbone}-student",
        ensemble=EnsembleSpec(
            f"{student.backbone}-student", (member,), spec.image_size, spec.findings, untrained=silent
        ),
        stages=(
            Stage(
                name="stage1",
                epochs=20,
                batch_size=32,
                learning_rate=2e-3,
                weight_decay=1e-4,
                schedule="warmup_cosine",
                warmup_steps=100,
                early_stopping_patience=None,
            ),
        ),
        loss=LossSpec(weight_range=None),
        augment=augment.NONE,
        split=SplitSpec(),
        table=columns or TableSpec(),
        teaching=TeachingSpec(plain, teacher.manifest_sha256, student.temperature, student.alpha),
    )
