"""How figures are put into plain words: every threshold and every word in one place. Torch- and numpy-free.

The table "What the figures are called" in docs/report.md says the same; a test compares them.
"""

BLURRED, NOISY = 0.6, 1.4  # Sharpness below and above which images look blurred, or like noise or a pattern
CLOSE, FAR = (
    0.1,
    0.3,
)  # KMMD above that of real images, up to and from which fakes are called close to or far from reals
FEW_STEPS = 50  # Training shorter than this tries the program out; its figures mean nothing

SAME, TOO_FEW = "as close to the real images as other real images are", "too few images to tell it from real ones"
NEAR, APART, AWAY = "close to the real images", "some way from the real images", "far from the real images"
COARSE = "in colours and coarse layout, all that 8 x 8 pixels show,"  # Before the words of a judge without a network
COPYING = "it copies real images"
LOOK = "look at the nearest training images"  # In its place from a judge without a network
FURTHER = "further from the real images than other real images are"


def distance_words(interval: tuple[float, float] | None, real: float, excess: float | None) -> str:
    """Return how far fakes are from the real images.

    Args:
        interval: 95 % interval of a KID or KMMD, lower is better; None where there is none.
        real: what real images score in the place of the fakes.
        excess: by how much the KMMD of the same network, which lies between 0 and 1.414 whatever the network, exceeds
            that of real images; None without one: then no degree is named.

    >>> distance_words((0.30, 0.40), 0.0, 0.45), distance_words((-0.01, 0.02), 0.0, 0.02)
    ('far from the real images', 'as close to the real images as other real images are')
    """
    if interval is not None and interval[0] <= real:
        return SAME if excess is not None and excess < CLOSE else TOO_FEW
    if excess is None:
        return FURTHER
    return NEAR if excess < CLOSE else AWAY if excess >= FAR else APART


def sharpness_words(value: float) -> str:
    """Return how sharp images are whose details vary `value` times as much as those of the real images.

    A blurred image under a pattern of squares varies as much as a sharp one, so no value is called sharp.

    >>> sharpness_words(0.4), sharpness_words(1.0), sharpness_words(1.5)
    ('blurred', 'about as much fine detail as the real images, or a pattern', 'noisy, or with a pattern')
    """
    if value < BLURRED:
        return "blurred"
    return "noisy, or with a pattern" if value > NOISY else "about as much fine detail as the real images, or a pattern"


def copies_words(value: float, num_fake: int, interval: tuple[float, float] | None, expected: float | None) -> str:
    """Return how many images are copies of real ones, beside what new real images show.

    Args:
        value: share of the fakes that count as copies, 0 to 1.
        num_fake: number of fakes.
        interval: 95 % interval of the share, None where there is none.
        expected: the share among new real images, None where it is not known.

    >>> copies_words(0.0, 200, (0.0, 0.02), 0.01)
    '0 of 200 are copies'
    >>> copies_words(0.06, 200, (0.04, 0.1), 0.01)
    '12 of 200 are copies, where new real images would show 2: it copies real images'
    """
    counted = round(value * num_fake)
    text = f"{counted:,} of {num_fake:,} {'is a copy' if counted == 1 else 'are copies'}"
    if not counted or expected is None:
        return text
    usual = round(expected * num_fake)
    text += f", where new real images would show {f'{usual:,}' if usual else 'fewer than 1'}"
    if interval is not None and interval[0] > expected:
        return f"{text}: {COPYING}"
    return f"{text}: {'no sign of copying' if value <= expected else 'no more than chance can do'}"
