"""The arms of a comparison: each method at each strength, with what is trained for it and what acts later."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from narrows.adapters import SteeringVector
from narrows.adapters.direction import Direction
from narrows.chat import Conversation
from narrows.chat.mixing import mix
from narrows.interventions import Ablation
from narrows.interventions.base import Intervention
from narrows.study.mitigations.job import MitigationsJob
from narrows.summary import MitigationMethod, MitigationNeed
from narrows.training import Recipe

NONE = "none"
"""The name of the fine-tune without any mitigation."""


@dataclass(frozen=True)
class Arm:
    """One method at one strength.

    Attributes:
        name: of its folder, its answers and its solution.
        method: the method.
        setting: its strength in words.
        strength: its strength as a number, if it is one: λ, the behaviour's share, the steering's norm in
            lengths of the direction.
        needs: what it takes beside the training rows.
        recipe: how it is trained.
        rows: what it is trained on.
        anchor: the anchor's rows.
        preventative: steered with in the training.
        interventions: attached while it answers.
        trained_as: the arm whose training it shares, or its own name.
    """

    name: str
    method: MitigationMethod
    setting: str
    strength: float | None
    needs: tuple[MitigationNeed, ...]
    recipe: Recipe
    rows: Sequence[Conversation]
    anchor: Sequence[Conversation | str] = ()
    preventative: SteeringVector | None = None
    interventions: tuple[Intervention, ...] = ()
    trained_as: str = ""


def arms(job: MitigationsJob, direction: Direction | None) -> Iterator[Arm]:
    """Every arm of a job, the unmitigated fine-tune first.

    Args:
        job: the job.
        direction: towards the trait; may be missing if no arm needs one.

    Raises:
        DataError: there are too few sound rows for a share.
    """
    config, train = job.config, job.behaviour.train
    plain = config.recipe.with_anchor(0.0)
    yield Arm(NONE, "none", "", None, (), plain, train)
    for weight in config.kl_weights:
        yield Arm(
            f"anchor-{weight:.4g}", "anchor", f"λ {weight:.4g}", weight, ("rows",),
            plain.with_anchor(weight), train, job.behaviour.anchor,
        )  # fmt: skip
    for share in config.shares:
        mixed = mix(train, [job.sound], share, seed=config.seed)
        yield Arm(
            f"mixing-{share:.4g}", "mixing", f"{_fraction(share)} of rows", share, ("rows",), plain, mixed
        )
    for name, prompt in config.prompts.items():
        inoculated = plain.model_copy(update={"system_prompt": prompt})
        yield Arm(f"inoculation-{name}", "inoculation", name, None, ("prompt",), inoculated, train)
    if direction is None:
        return
    for strength in config.strengths:
        yield Arm(
            f"preventative-{strength:.4g}", "preventative", f"{strength:.4g} × length", strength,
            ("direction",), plain, train, preventative=direction.steering(strength * direction.length),
        )  # fmt: skip
    for site in config.sites:
        yield Arm(
            f"ablation-{site}", "ablation", _place(site, direction), None, ("direction",), plain, train,
            interventions=(Ablation(direction, site),), trained_as=NONE,
        )  # fmt: skip


def _fraction(share: float) -> str:
    """A share as people say it: 1/6."""
    found = Fraction(share).limit_denominator(100)
    return str(found) if abs(found - share) < 1e-6 else f"{share:.3g}"


def _place(site: str, direction: Direction) -> str:
    return f"at layer {direction.layer}" if site == "layer" else f"at {site}"
