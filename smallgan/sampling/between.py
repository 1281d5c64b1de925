"""What an interpolation goes between: training images, where a model has latents of them, or drawn latents."""

from typing import NamedTuple

from augment.errors import UsageError
from smallgan.sampling.latents import Inputs, parse_numbers
from smallgan.sampling.loading import Model, has_learned_codes, load_codes

DEFAULT_ENDS = 5


class Ends(NamedTuple):
    """The latents that a path goes through, and how."""

    inputs: Inputs
    codes: list[int] | None
    """The training images whose latents they are, None where the latents were drawn."""
    straight: bool
    """Whether points are joined by straight lines: learned codes are not normal, and neither is what lies near them."""

    @property
    def kind(self) -> str:
        """What a folder of an interpolation between training images is called after."""
        return f"interpolation-codes-{'-'.join(map(str, (self.codes or [])[:8]))}"


def between_codes(model: Model, codes: str | None) -> Ends:
    """Return the latents of the training images that "0,7,12" names, of the first five where it is None.

    Latents of the prior that were matched to images are joined on great circles, learned codes by straight lines.
    Raises UsageError.
    """
    latents = load_codes(model)
    numbers = list(range(min(DEFAULT_ENDS, len(latents))))
    if codes is not None:
        numbers = parse_numbers(codes, "--codes", "code")
        if min(numbers) < 0 or max(numbers) >= len(latents):
            raise UsageError(f"--codes {codes}: {model.path} has codes 0 to {len(latents) - 1}; name some of them")
    return Ends(Inputs(latents[numbers]), numbers, has_learned_codes(model))


def between_drawn(model: Model, inputs: Inputs, truncation: float | None) -> Ends:
    """Return drawn latents: on great circles where they are of a standard normal, straight where of another prior."""
    return Ends(inputs, None, truncation is None and not model.prior.is_normal)
