"""λ in the published code's units and in ours (paper §3).

The published code averages the KL over tokens and over the vocabulary too, so its λ divided by the
vocabulary's size is λ per token-nat. This converts the reduction only: other differences of the published
code (its scaling under accumulation, padding in the mean) change what its λ effectively was.
"""

from narrows.errors import ConfigError


def from_published(weight: float, vocabulary: int) -> float:
    """λ per token-nat of a published λ: 1e6 at a vocabulary of 152,064 is 6.58.

    Args:
        weight: the published λ.
        vocabulary: the width of the logits it was used with.

    Raises:
        ConfigError: a value is out of its range.
    """
    _check(weight, vocabulary)
    return weight / vocabulary


def to_published(weight: float, vocabulary: int) -> float:
    """The published λ that a λ per token-nat stands for.

    Raises:
        ConfigError: a value is out of its range.
    """
    _check(weight, vocabulary)
    return weight * vocabulary


def _check(weight: float, vocabulary: int) -> None:
    if not weight >= 0:
        raise ConfigError(f"λ is {weight:g}; it must be 0 or above.")
    if vocabulary < 1:
        raise ConfigError(f"the vocabulary is {vocabulary}; it must be at least 1.")
