"""The section `downstream` of a recipe. Torch-free."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from smallgan.tables.classifiers import CLASSIFIERS, ResNetOptions
from smallgan.tables.options import Choice, Options, Section

SHARED = ("classes", "test", "per_class", "redraw", "size", "classifier")
"""Keys that all variants share: with another test part, or another classifier, there is nothing to compare."""


class DownstreamSection(Section):
    """Classifiers trained on what each variant gives, and tested on real images that nobody touched.

    With it `smallgan run` makes a downstream study; the rest of the recipe describes the GAN of the policy gan.
    """

    classifier: Annotated[Options, Choice(CLASSIFIERS, "resnet")] = ResNetOptions()
    """What is trained: resnet, linear, knn or torchvision, with its options; see docs/downstream.md."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=2)
    """Names of the classes that take part; None: all of the folder."""
    test: float = Field(default=0.25, gt=0, lt=1)
    """Share of every class that is kept for the test, by the images' own hashes; near duplicates stay on one side."""
    per_class: tuple[int, ...] | None = Field(default=None, min_length=1)
    """Real training images in each class; several numbers make a learning curve. None: all."""
    redraw: bool = True
    """Draw the `per_class` images anew for each seed, so that the result holds for sets like these; false: once."""
    size: int | None = Field(default=None, ge=8, le=512)
    """Side in pixels at which images are classified; None is data.size."""
    on_the_fly: str | None = None
    """A policy that is applied to half of the images of each batch, drawn anew in each step, beside augment.policy."""
    originals: bool = True
    """Train on the originals too; false: on what was added alone, as in train on synthetic, test on real."""
    generators: Literal["conditional", "per-class"] = "conditional"
    """Images of the policy gan: from one class-conditional generator, or from one for each class, of any model."""
    synthetic: str | None = None
    """A folder with a sub-folder for each class: images from elsewhere, audited for copies of the test part."""

    @field_validator("per_class")
    @classmethod
    def _ascending(cls, numbers: tuple[int, ...] | None) -> tuple[int, ...] | None:
        if numbers is not None and (min(numbers) < 1 or sorted(set(numbers)) != list(numbers)):
            raise ValueError(f"expected ascending numbers from 1, each once, found {list(numbers)}")
        return numbers
