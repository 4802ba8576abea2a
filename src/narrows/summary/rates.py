"""How often a behaviour shows: by suite, in mixtures, around an intervention, under mitigations."""

from typing import Literal

from narrows.summary.base import Interval, Record

MitigationMethod = Literal["none", "anchor", "mixing", "inoculation", "preventative", "ablation"]
"""What keeps a fine-tune narrow, or is meant to."""
MitigationNeed = Literal["rows", "prompt", "direction"]
"""What a mitigation needs beside the training rows."""
FixedRows = Literal["behaviour", "total"]
"""What a series of mixtures keeps: the number of the behaviour's rows, or that of all rows."""


class Evaluation(Record):
    """Rates of one solution at one scale on one suite; the chat model is solution ``chat``."""

    solution: str
    scale: float
    suite: str
    anchored: bool | None
    n: int
    misaligned: float
    misaligned_ci95: Interval
    coherent: float
    judge: str


class Mixing(Record):
    """Rates of a solution trained on a mixture in which ``bad_fraction`` of the rows are the behaviour's.

    ``fixed`` says what the mixtures of its series have in common; the unmixed solution is in both series.
    """

    solution: str
    bad_fraction: float
    in_domain: float
    out_of_domain: float
    fixed: FixedRows | None = None
    rows: int | None = None
    in_domain_ci95: Interval | None = None
    out_of_domain_ci95: Interval | None = None
    coherent: float | None = None


class Intervention(Record):
    """The rate of a suite before and after an intervention, with what it cost.

    ``coherent`` is the share of coherent answers after it, ``text_loss`` the loss on ordinary text after it
    as a share of the loss before (1 is unchanged).
    """

    solution: str
    direction: str
    kind: str
    before: float
    after: float
    coherent: float
    text_loss: float
    suite: str = "out_of_domain"
    before_ci95: Interval | None = None
    after_ci95: Interval | None = None
    coherent_before: float | None = None


class Mitigation(Record):
    """One way of keeping a fine-tune narrow at one strength: its rates at one scale, and what it costs.

    A rate is null where the behaviour has no such suite. ``coherent`` is the mean share of coherent answers
    over all suites. ``strength`` is λ (anchor), the behaviour's share of the rows (mixing), or the norm in
    lengths of the direction (preventative). Rows and tokens are those that the training reads, the anchor's
    included; ``preparation_seconds`` is what finding the direction took. ``inference_ratio`` is the time of
    a forward pass as a multiple of the unmitigated one, null where nothing is added to the model that
    answers.
    """

    solution: str
    method: MitigationMethod
    setting: str
    strength: float | None
    scale: float
    in_domain: float | None
    in_domain_ci95: Interval | None
    out_of_domain: float | None
    out_of_domain_ci95: Interval | None
    never_anchored: float | None
    never_anchored_ci95: Interval | None
    open: float | None
    open_ci95: Interval | None
    coherent: float
    coherent_ci95: Interval
    needs: list[MitigationNeed]
    training_rows: int
    training_tokens: int
    training_seconds: float
    preparation_seconds: float
    inference_ratio: float | None
