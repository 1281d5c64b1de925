"""What the steps of the training methods return, and how it is shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Term:
    """A number that a step returns, and how it is shown."""

    name: str  # Its key in stats.jsonl
    chart: str  # Title of its chart on the page; terms of one chart share it; "": none
    label: str = ""  # Its line in the chart, where there are several
    note: str = ""  # What to know when reading the chart
    status: str = ""  # Its name on the status line; "": not there


_GRADIENT = "Gradient of the generator: logarithm of its norm (base 10)"
ADVERSARIAL_TERMS = (
    Term("loss_d", "Loss of the discriminator", status="loss D"),
    Term("loss_g", "Loss of the generator", status="G"),
    Term(
        "score_real",
        "Raw scores of the discriminator",
        "real images",
        "Solid: real images, dashed: fakes; the further apart, the better it tells them from each other. ",
    ),
    Term("score_fake", "Raw scores of the discriminator", "fakes"),
    Term(
        "r_t",
        "Overfitting of the discriminator",
        note="Mean sign of the scores of real images: 1 when it takes all of them for real. Above the target the "
        "probability of augmentation grows. ",
    ),
    Term("augment_p", "Probability of augmentation", "DiffAugment"),
    Term("apa_p", "Probability of augmentation", "fakes among the reals"),
    Term(
        "gradient_nonsaturating",
        _GRADIENT,
        "non-saturating",
        "Solid: the non-saturating loss, dashed: the minimax (saturating) loss, of the same fakes. ",
    ),
    Term("gradient_minimax", _GRADIENT, "minimax"),
)
MATCHING_TERMS = (
    Term("distance", "Distance of the training images to their samples", status="distance"),
    Term("rejected", "Share of samples rejected as too near", status="rejected"),
)
ADAPTER_TERMS = (
    Term("loss_g", ""),  # where each term is divided by its own value, the sum is a constant
    Term(
        "pixel", "Pixel error of reconstructions", note="Mean absolute difference, images in [-1, 1]. ", status="pixel"
    ),
    Term("perceptual", "Perceptual error of reconstructions", status="perceptual"),
    Term("latent", "Distance of the codes to normal draws", status="latent"),
    *MATCHING_TERMS,
)
IMLE_TERMS = (
    Term("loss_g", ""),  # each term is divided by its own value: the sum is a constant
    Term(
        "pixel", "Pixel error of reconstructions", note="Mean absolute difference, images in [-1, 1]. ", status="pixel"
    ),
    Term("pyramid", "Pyramid error of reconstructions"),
    Term("perceptual", "Perceptual error of reconstructions", status="perceptual"),
    *MATCHING_TERMS,
)
ADDA_TERMS = (
    Term("loss_source", "Loss of the source classifier", status="loss source"),
    Term("loss_d", "Loss of the domain discriminator", status="loss D"),
    Term("loss_target", "Loss of the target encoder", status="target"),
    Term(
        "accuracy_d",
        "Accuracy of the domain discriminator",
        note="On both domains; 0.5 is chance, where it cannot tell them apart. ",
        status="accuracy D",
    ),
)
TWIN_TERMS = (
    Term(
        "distance_consistency",
        "Difference from the source in how images differ",
        note="Kullback-Leibler divergence of similarities; 0: as the source's. ",
    ),
    Term(
        "g_contrast",
        "Contrast with images of the source",
        "generator",
        "Low: an image still resembles what the source makes of its latent. ",
    ),
    Term("d_contrast", "Contrast with images of the source", "discriminator"),
)
