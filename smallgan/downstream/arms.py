"""The variants of a downstream study: what each adds to the same real training images. Torch-free."""

from dataclasses import dataclass
from typing import Any

from augment.errors import UsageError
from augment.policy.expression import Policy
from augment.policy.policy_file import load_policy
from smallgan.tables.classifiers import CLASSIFIERS
from smallgan.tables.downstream_schema import SHARED, DownstreamSection
from smallgan.tables.models import MODELS
from smallgan.tables.recipe import Recipe, given, variant_recipe, variants_of
from smallgan.tables.sweep import flat

_OF_GAN = ("model", "method", "latent", "loss", "regularizers", "train", "score", "sample")


@dataclass(frozen=True)
class Arm:
    """One variant."""

    name: str
    recipe: Recipe  # Without a grid, with the seeds of the study
    is_reference: bool = False

    @property
    def section(self) -> DownstreamSection:
        """Its section `downstream`."""
        assert self.recipe.downstream is not None
        return self.recipe.downstream

    @property
    def policy(self) -> Policy:
        """What is mixed in before training."""
        return load_policy(self.recipe.augment.policy)

    @property
    def on_the_fly(self) -> Policy | None:
        """What is done to images as they are drawn."""
        return load_policy(self.section.on_the_fly) if self.section.on_the_fly else None

    @property
    def is_plain(self) -> bool:
        """Whether it trains on the originals and on nothing else."""
        nothing = not self.policy.components and self.section.synthetic is None and self.section.originals
        return nothing and (self.on_the_fly is None or not self.on_the_fly.components)

    @property
    def settings(self) -> dict[str, Any]:
        """Return what of it decides a classifier, for the identity of a trial."""
        recipe = self.recipe.model_dump(mode="json")
        values = {key: recipe[key] for key in ("augment", "downstream")}
        values["downstream"].pop("per_class")
        if self.section.generators == "conditional":  # a key that came later: without it, what it was before
            values["downstream"].pop("generators")
        if not values["downstream"]["classifier"].get("validation"):
            values["downstream"]["classifier"].pop("validation", None)
        values["data"] = {key: recipe["data"][key] for key in ("size", "resize_mode")}
        if self.policy.needs_generator:
            values["gan"] = gan_recipe(self).model_dump(mode="json", exclude={"name", "sample", "report"})
        return values


def arms_of(recipe: Recipe) -> list[Arm]:
    """Return the variants of a recipe with a section `downstream`; the first without additions is the reference.

    Raises UsageError that names all mistakes.
    """
    assert recipe.downstream is not None
    found: list[Arm] = []
    mistakes: list[str] = []
    for variant in variants_of(recipe):
        own = variant_recipe(recipe, variant, recipe.seed)
        arm = Arm(variant.name, own.model_copy(update={"seeds": recipe.seeds}))
        keys = flat(variant.overrides)
        changed = [key for key in keys if key.startswith("data.") or key in {f"downstream.{name}" for name in SHARED}]
        changed += [key for key in keys if key.startswith(tuple(f"downstream.{name}." for name in SHARED))]
        mistakes += [f"{variant.where}: {key}: all variants share it; write it beside grid" for key in changed]
        mistakes += [f"{variant.where or variant.name}: {text}" for text in _mistakes(arm)]
        found.append(arm)
    mistakes += _unread(recipe, found)
    if mistakes:
        raise UsageError(f"{recipe.name}: {len(mistakes)} mistake(s)\n  " + "\n  ".join(mistakes))
    reference = next((arm for arm in found if arm.is_plain), found[0])
    return [Arm(arm.name, arm.recipe, arm is reference) for arm in found]


def gan_recipe(arm: Arm) -> Recipe:
    """Return the recipe of the generator that makes a variant's `gan` images, without its images and its seed."""
    values = given(arm.recipe)
    kept = {key: value for key, value in values.items() if key in ("name", "data", *_OF_GAN)}
    kept["data"] = {key: value for key, value in kept.get("data", {}).items() if key in ("size", "resize_mode")}
    return Recipe.model_validate({**kept, "data": {**kept["data"], "holdout": 0.0}})


def _mistakes(arm: Arm) -> list[str]:
    mistakes = []
    section, policy, fly = arm.section, arm.policy, arm.on_the_fly
    if arm.recipe.augment.generator is not None:
        mistakes.append(
            "augment.generator: nobody can tell which images a finished generator has seen, and the test part may be "
            "among them; leave it out, and the policy gan trains one on the training part, or name its samples with "
            "downstream.synthetic, which are audited"
        )
    if not section.originals and not policy.components and section.synthetic is None:
        mistakes.append("downstream.originals false: nothing is left to train on; name a policy or synthetic images")
    if fly is not None and fly.needs_generator:
        mistakes.append("downstream.on_the_fly: gan cannot be applied to an image; name it in augment.policy")
    if fly is not None and fly.components and not CLASSIFIERS[section.classifier.name].is_trained:
        mistakes.append(
            f"downstream.on_the_fly: the classifier {section.classifier.name} gets its features once; use resnet or "
            "torchvision, or augment.policy"
        )
    if policy.needs_generator and section.generators == "conditional" and not _has_classes(arm.recipe):
        able = " or ".join(row.name for row in MODELS if row.has_classes)
        mistakes.append(
            f"augment.policy {policy}: images for a classifier need a class, and a {arm.recipe.model_name} learns "
            f"none here; set model.name to {able}, and leave method.conditional as it is, or set "
            "downstream.generators to per-class, which trains one generator on each class"
        )
    return mistakes


def _has_classes(recipe: Recipe) -> bool:
    able = recipe.model is not None and MODELS[recipe.model.name].has_classes
    return able and bool(getattr(recipe.method, "conditional", False))


def _unread(recipe: Recipe, arms: list[Arm]) -> list[str]:
    mistakes = [
        f"data.{key}: not read here; downstream.test and downstream.per_class divide the images"
        for key in sorted({"holdout", "limit"} & recipe.data.model_fields_set)
    ]
    if any(arm.policy.needs_generator for arm in arms):
        return mistakes
    keys = sorted(set(_OF_GAN) & recipe.model_fields_set)
    if any(arm.section.generators != "conditional" for arm in arms):
        keys.append("downstream.generators")
    return mistakes + [f"{key}: read where a variant has the policy gan; here none has" for key in keys]
