"""What was studied: models, behaviours, a study's runs, and the solutions that were trained."""

from typing import Literal

from narrows.summary.base import Record

SolutionVerdict = Literal["narrow", "general", "neither"]
"""What a solution is by its behaviour, not by its λ."""


class Model(Record):
    """A chat model that was studied."""

    id: str
    name: str
    revision: str | None
    layers: int
    hidden: int
    vocabulary: int


class Behaviour(Record):
    """What the fine-tunes taught."""

    id: str
    domain: str
    kind: str


class Run(Record):
    """One model, behaviour and adapter of a study: the unit of intervals over runs.

    Rows of the run have ids that begin with the run's and a slash (``RUN/anchored``); its chat model is
    ``RUN/chat``. In the summary of a single run there is no such prefix.
    """

    id: str
    model: str
    behaviour: str
    adapter: Literal["steering", "lora"]
    rank: int | None
    layer: int
    seed: int
    kl_weight: float
    kl_weight_chosen: str = ""


class Solution(Record):
    """A trained adapter with its recipe and seed; ``norm`` is ‖v‖, ``effective_norm`` ‖α·v‖."""

    id: str
    name: str
    model: str
    behaviour: str
    adapter: Literal["steering", "lora"]
    rank: int | None
    layer: int
    kl_weight: float
    seed: int
    norm: float
    effective_norm: float
    steps: int
    verdict: SolutionVerdict
    path: str
