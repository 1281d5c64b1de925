"""The options of ADDA; its row is in `smallgan.tables.methods`."""

from typing import Literal

from pydantic import Field

from smallgan.tables.options import IMAGES, REPLACED_BY, STEPS, Options


class ADDAOptions(Options):
    """ADDA (Tzeng et al. 2017): a classifier of labelled images is adapted to other images, without labels of these."""

    name: Literal["adda"] = "adda"
    target: str | None = Field(default=None, json_schema_extra=IMAGES)
    """The images to adapt to: a folder, a zip or FILE.npz/x_train, as `data.source` names the labelled ones.

    It must be given. Where they have classes, these are not trained on.
    """
    target_test: str | None = Field(default=None, json_schema_extra=IMAGES)
    """Labelled target images that score the classifier and do nothing else. None: some of `target`, which then needs
    classes, are set apart for this (`target_holdout`)."""
    target_holdout: float = Field(default=0.25, gt=0, lt=1, json_schema_extra={REPLACED_BY: "target_test"})
    """Share of `target` that is not trained on, but scores; which ones depends on the images alone."""
    target_limit: int | None = Field(default=None, ge=2)
    """Adapt to this many of the target images; None: to all that do not score."""
    source_steps: int = Field(default=10_000, ge=1, json_schema_extra=STEPS)
    """The first of `train.steps` train the source classifier; the others adapt a copy of it to the target."""
    lr_source: float = Field(default=1e-3, gt=0)
    """Adam's learning rate of the source classifier."""
    weight_decay: float = Field(default=2.5e-5, ge=0)
    """Weight decay of the source classifier's weights; biases have none."""
    lr_target: float = Field(default=2e-4, gt=0)
    """Adam's learning rate of the target encoder."""
    lr_d: float = Field(default=2e-4, gt=0)
    """Adam's learning rate of the domain discriminator."""
    beta1: float = Field(default=0.5, ge=0, lt=1)
    """Adam's decay of the mean gradient while adapting; 0.9 for the source classifier."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Adam's decay of the mean squared gradient."""
    align: Literal["logits", "features"] = "logits"
    """What the domain discriminator sees: the class logits, as in the released code, so that the last layer is adapted
    too; or the 500 features below it, as the paper's text may be read."""
    d_width: int = Field(default=500, ge=1)
    """Units of each of the two hidden layers of the domain discriminator."""
    gray: bool = True
    """Take images as gray, as published; off: the classifier sees colors."""
