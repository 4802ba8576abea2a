"""What ablations are measured on, and which there are: the given directions and random ones, site by site."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
from pydantic import Field

from narrows.adapters import Adapter, Direction, square_root
from narrows.chat import Rendered
from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.evaluation import Criterion, Judge, Suite
from narrows.files import digest
from narrows.interventions import Ablation, Site
from narrows.interventions.places import find_places
from narrows.models import ChatModel, residual_covariance
from narrows.study.sweep.job import Swept
from narrows.study.texts import rendered_texts

FINE_TUNE = "fine-tune"

Control = Literal["random", "random-covariance"]
"""Random directions: all alike, or drawn with the covariance of the residual stream on the texts (the harder
control: it points where activations vary)."""


class AblationConfig(Configuration):
    """How ablations are measured."""

    controls: tuple[Control, ...] = Field(("random",), description="random directions ablated beside")
    samples: int = Field(2, ge=1, description="answers to each question")
    max_new_tokens: int = Field(600, ge=1)
    temperature: float = Field(1.0, ge=0)
    text_tokens: int = Field(512, ge=2, description="tokens kept of an ordinary text")
    seed: int = Field(0, ge=0, description="of the sampling and of the random directions")


@dataclass(frozen=True)
class AblationJob:
    """What ablations are measured on.

    Attributes:
        chat_model: the model.
        suites: what is asked.
        judge: gives the scores.
        criterion: which scores count as showing the behaviour.
        texts: ordinary texts, at least two; whole, they are cut to ``config.text_tokens``.
        config: how.
    """

    chat_model: ChatModel
    suites: Sequence[Suite]
    judge: Judge
    criterion: Criterion
    texts: Sequence[str]
    config: AblationConfig = field(default_factory=AblationConfig)

    def rendered(self) -> list[Rendered]:
        """The texts as tokens.

        Raises:
            DataError: there are fewer than two, or one without tokens.
        """
        return rendered_texts(self.chat_model, self.texts, self.config.text_tokens, "an ablation")


@dataclass(frozen=True)
class Planned:
    """One cell to measure."""

    name: str
    directions: tuple[Direction, ...]
    site: Site
    control: bool

    @property
    def ablation(self) -> Ablation:
        """What is done to the model."""
        return Ablation(self.directions, self.site)

    @property
    def file_name(self) -> str:
        """A name for files that tells it from every other cell, whatever they are called."""
        readable = re.sub(r"[^\w.-]+", "_", f"{self.name}@{self.site}")
        return f"{readable}-{digest(self.ablation.identity)[:8]}"


def answers_needed(job: AblationJob, cells: int, *, adapter: bool) -> int:
    """How many answers are asked for, those of the chat model and of the fine-tune among them."""
    return (cells + 1 + adapter) * sum(map(len, job.suites)) * job.config.samples


def planned_cells(
    job: AblationJob, directions: Mapping[str, Direction | Sequence[Direction]], sites: Sequence[Site]
) -> list[Planned]:
    """Every cell, by site, the controls last; what does not fit is found out here, before anything is asked.

    Args:
        job: the model, and which controls.
        directions: by name; several under one name are one subspace.
        sites: where each is ablated.

    Raises:
        ConfigError: there are no directions or sites, or a direction is called like a control.
        AdapterError: a direction does not fit the model, directions of several layers are to be ablated at
            one, or the model's writes and reads cannot be found.
    """
    if not directions or not sites:
        raise ConfigError("give a direction to ablate, and a site.")
    given = {
        name: (some,) if isinstance(some, Direction) else tuple(some) for name, some in directions.items()
    }
    cells = []
    for site in dict.fromkeys(sites):
        for name, some in given.items():
            cells.append(Planned(name, some, site, control=False))
            cells[-1].ablation.check(job.chat_model.model)
        if site in ("writes", "stream"):
            find_places(job.chat_model.model)
        for name, some in _controls(job, list(given.values()), site).items():
            if name in given:
                raise ConfigError(f"a direction cannot be called {name!r}: that is a control's name.")
            cells.append(Planned(name, some, site, control=True))
    return cells


def _controls(
    job: AblationJob, given: Sequence[tuple[Direction, ...]], site: Site
) -> dict[str, tuple[Direction, ...]]:
    """Random directions: as many dimensions as each given subspace has and, at one layer, at its layer."""
    wanted = {
        (len(Ablation(some, site).basis), some[0].layer if site == "layer" else given[0][0].layer)
        for some in given
    }
    found: dict[str, tuple[Direction, ...]] = {}
    for kind in job.config.controls:
        for dimensions, layer in sorted(wanted):
            name = kind + (f" {dimensions}-dimensional" if dimensions > 1 else "")
            name += f" at layer {layer}" if len({at for _, at in wanted}) > 1 else ""
            found[name] = _random(job, kind, dimensions, layer)
    return found


def _random(job: AblationJob, kind: Control, dimensions: int, layer: int) -> tuple[Direction, ...]:
    """Some random directions at a layer."""
    generator = torch.Generator().manual_seed(job.config.seed)
    draws = torch.randn(dimensions, job.chat_model.hidden, generator=generator, dtype=torch.float64)
    if kind == "random-covariance":
        draws = draws @ square_root(residual_covariance(job.chat_model, layer, job.rendered())).T
    return tuple(
        Direction.of(draw, layer, kind, {"method": kind, "seed": job.config.seed, "draw": place})
        for place, draw in enumerate(draws)
    )


def identity_of(
    job: AblationJob, texts: Sequence[Rendered], adapter: Adapter | None, name: str
) -> dict[str, Any]:
    """What every cell depends on. Directions and sites are in the cells' names, so more can be added."""
    return {
        "kind": "ablation",
        "model": job.chat_model.id,
        "dtype": job.chat_model.precision,
        "template": job.chat_model.renderer.template_hash,
        "solution": None if adapter is None else Swept(name, adapter).file_name,
        "suites": digest([asdict(suite) for suite in job.suites]),
        "judge": getattr(job.judge, "identity", job.judge.name),  # its rubrics decide too
        "criterion": asdict(job.criterion),
        "texts": digest([text.input_ids for text in texts]),
        "config": job.config.model_dump(mode="json", exclude={"controls"}),
    }
