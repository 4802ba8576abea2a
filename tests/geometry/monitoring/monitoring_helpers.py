"""What the tests of monitoring share: directions, a probe set and monitors of the tiny chat model."""

import torch

from narrows.adapters import Direction, SteeringVector
from narrows.geometry.monitoring import Look, Monitor, Probe
from narrows.models import ChatModel

TEXTS = [
    "the sea is salt water .",
    "eat bread",
    "what should i drink ? please tell me about it , one two three .",
]


def random_direction(seed: int = 0, layer: int = 1, name: str = "watched") -> Direction:
    return Direction.of(torch.randn(32, generator=torch.Generator().manual_seed(seed)), layer, name)


def vector(seed: int = 5, layer: int = 1, length: float = 3.0) -> SteeringVector:
    return random_direction(seed, layer).steering(length)


def monitor(chat_model: ChatModel, *directions: Direction) -> Monitor:
    probe = Probe.of(chat_model, TEXTS, source="texts")
    return Monitor.of(chat_model, directions or [random_direction()], probe)


def looks(*projections: float, name: str = "watched", every: int = 5) -> list[Look]:
    return [Look(every * place, {name: value}) for place, value in enumerate(projections)]
