"""The rules of the claims C1, C2 and C4-C7: which numbers decide, and which controls stand beside them.

The margins are the design's and stood before anything was measured. "General" is the unanchored solution,
"narrow" the anchored one: the claims are about these two recipes, and the verdict on each solution's
behaviour is separate.
"""

from collections.abc import Mapping

from narrows.adapters import Adapter
from narrows.evaluation import (
    ANCHORED,
    IN_DOMAIN,
    NEVER_ANCHORED,
    OPEN,
    OUT_OF_DOMAIN,
)
from narrows.metrics import Curve, StabilityCurve
from narrows.metrics.curves import Floats
from narrows.metrics.significance import ALL
from narrows.study.claims.rates import (
    EQUIVALENCE_MARGIN,
    GENERAL_MARGIN,
    NARROW_MARGIN,
    SCALED_UP,
    SUITE_WORDS,
    RateTable,
)
from narrows.study.claims.verdicts import ClaimResult, Part, Rule, curve_part, rate_part

GAP_CLOSED = 0.5
COHERENT = 0.85

NO_GAP = 1e-6
"""A gap in cosine below this is rounding."""


def c1(table: RateTable) -> ClaimResult:
    """Without an anchor the behaviour shows outside the domain.

    Where there are no other domains, or no open questions, there is no verdict: all parts are then controls.
    """
    deciding = (OUT_OF_DOMAIN, OPEN)
    complete = all(table.compares(suite, "unanchored") for suite in deciding)
    parts = [
        _above_chat(table, "unanchored", suite, margin, "above", counts=complete and suite in deciding)
        for suite, margin in (
            (OUT_OF_DOMAIN, GENERAL_MARGIN),
            (OPEN, GENERAL_MARGIN),
            (IN_DOMAIN, NARROW_MARGIN),
        )
        if table.compares(suite, "unanchored")
    ]
    return ClaimResult("C1", (*parts, _coherence(table, "unanchored", 1.0)))


def c2(table: RateTable, solution: str = "anchored") -> ClaimResult:
    """With the anchor the behaviour shows in the domain only, also when the solution is scaled up by half.

    A solution that was not evaluated at :data:`SCALED_UP`, or that has no rates in the domain, in domains
    that the anchor never saw or on open questions, gives no verdict: all parts are then controls.
    """
    complete = table.compares(IN_DOMAIN, solution) and all(
        table.compares(suite, solution, scale)
        for suite in (NEVER_ANCHORED, OPEN)
        for scale in (1.0, SCALED_UP)
    )
    parts = []
    if table.compares(IN_DOMAIN, solution):
        parts.append(_above_chat(table, solution, IN_DOMAIN, NARROW_MARGIN, "above", counts=complete))
    for scale in (1.0, SCALED_UP):
        parts += [
            _above_chat(table, solution, suite, EQUIVALENCE_MARGIN, "below", scale=scale, counts=counts)
            for suite, counts in ((NEVER_ANCHORED, complete), (OPEN, complete), (ANCHORED, False))
            if table.compares(suite, solution, scale)
        ]
        if table.has(solution, scale):
            parts.append(_coherence(table, solution, scale))
    return ClaimResult("C2", tuple(parts))


def c4(curves: Mapping[str, Curve], norms: Floats) -> ClaimResult:
    """At every equal norm up to the larger trained one the general solution has the lower loss.

    Args:
        curves: loss against norm by solution; ``neutral-anchored`` and ``*-reoptimised`` are controls.
        norms: those of the curves' norms up to the larger trained one.
    """
    unit = "nats per response token, over rows"

    def lower(name: str, left: str, right: str, at: Floats | None, *, counts: bool = False) -> Part:
        return curve_part(name, curves[left].minus(curves[right], at), "below", unit, counts=counts)

    parts = [lower("loss, unanchored − anchored", "unanchored", "anchored", norms, counts=True)]
    if "neutral-anchored" in curves:
        name = "loss, anchored on neutral text − anchored"
        parts.append(lower(name, "neutral-anchored", "anchored", norms))
    if "anchored-reoptimised" in curves:
        name = "loss, unanchored − anchored, both re-optimised under the norm"
        parts.append(lower(name, "unanchored-reoptimised", "anchored-reoptimised", None))
    return ClaimResult("C4", tuple(parts))


def c5(curves: Mapping[str, StabilityCurve]) -> ClaimResult:
    """Under orthogonal noise the narrow solution's loss rises faster at every ε.

    A solution whose loss is not below the chat model's has nothing that noise could undo, and its relative
    rise no meaning: then there is no verdict.

    Args:
        curves: by solution; ``unanchored@equal-norm`` and ``unanchored@matched-loss`` are controls.
    """
    general, narrow = curves["unanchored"], curves["anchored"]
    relative = "share of the way to the chat model's loss, over noise draws"
    absolute = "nats per response token, over noise draws"
    if min(general.gain, narrow.gain) <= 0:
        name, gain = min(("unanchored", general.gain), ("anchored", narrow.gain), key=lambda pair: pair[1])
        why = Part(
            f"loss gained over the chat model by {name}",
            gain,
            None,
            0.0,
            "above",
            "nats per response token",
            counts=False,
        )
        return ClaimResult("C5", (why,))
    faster = narrow.relative.minus(general.relative)
    rise = narrow.absolute.minus(general.absolute)
    parts = [
        curve_part("relative rise, anchored − unanchored", faster, "above", relative),
        curve_part("absolute rise, anchored − unanchored", rise, "above", absolute, counts=False),
    ]
    for control, label in (
        ("unanchored@equal-norm", "equal norm"),
        ("unanchored@matched-loss", "matched starting loss"),
    ):
        if control in curves:
            difference = narrow.relative.minus(curves[control].relative)
            parts.append(curve_part(f"relative rise at {label}", difference, "above", relative, counts=False))
    return ClaimResult("C5", tuple(parts))


def c6(curves: Mapping[str, Mapping[str, Curve]], norms: Floats) -> ClaimResult:
    """On pre-training text the general direction moves predictions most, the narrow more than a random one.

    Args:
        curves: text type (``all`` decides) → direction → KL against norm.
        norms: those of the curves' norms up to the trained one.
    """
    unit = "nats per token, over texts"
    pairs = [("unanchored", "anchored", True), ("anchored", "random", True)]
    pairs += [("anchored", control, False) for control in ("random-covariance", "register")]
    parts = []
    for text, directions in curves.items():
        where = "" if text == ALL else f" on {text} text"
        for left, right, decides in pairs:
            if decides or (text == ALL and right in directions):
                difference = directions[left].minus(directions[right], norms)
                name = f"KL, {left} − {right}{where}"
                parts.append(curve_part(name, difference, "above", unit, counts=decides and text == ALL))
    return ClaimResult("C6", tuple(sorted(parts, key=lambda part: not part.counts)))


def gap_closed(start: Adapter, end: Adapter, goal: Adapter) -> float:
    """Share of the gap in cosine to ``goal`` that a run closed: 0 stayed where it was, 1 arrived.

    Where ``start`` already points to ``goal`` there is no gap, and none of it was closed: 0.
    """
    before = start.cosine(goal)
    gap = 1 - before
    return (end.cosine(goal) - before) / gap if gap > NO_GAP else 0.0


def c7(table: RateTable, solutions: Mapping[str, Adapter]) -> ClaimResult:
    """With the anchor lifted the narrow solution moves to the general one, and with it the behaviour.

    Where there are no other domains there is no verdict: all parts are then controls.

    Args:
        table: with rates of ``anchored``, ``lifted`` and ``continued-anchored``.
        solutions: these three, and ``continued-unanchored``: the general end.
    """
    start, goal = solutions["anchored"], solutions["continued-unanchored"]
    shown = {
        name: table.has(name, suite=OUT_OF_DOMAIN) for name in ("anchored", "lifted", "continued-anchored")
    }
    complete = shown["anchored"] and shown["lifted"]

    def closed(name: str, solution: str, *, counts: bool) -> Part:
        share = gap_closed(start, solutions[solution], goal)
        unit = "share of the gap in cosine; one run, no interval"
        return Part(name, share, None, GAP_CLOSED, "above", unit, counts)

    def returned(name: str, solution: str, *, counts: bool) -> Part:
        difference = table.minus(OUT_OF_DOMAIN, solution, other=("anchored", 1.0))
        return rate_part(name, difference, GENERAL_MARGIN, "above", counts=counts)

    parts = [closed("gap closed after the anchor is lifted", "lifted", counts=complete)]
    if complete:
        parts.append(returned("lifted − anchored, other domains", "lifted", counts=True))
    parts.append(closed("gap closed with the anchor kept", "continued-anchored", counts=False))
    if shown["anchored"] and shown["continued-anchored"]:
        name = "continued anchored − anchored, other domains"
        parts.append(returned(name, "continued-anchored", counts=False))
    return ClaimResult("C7", tuple(parts))


def _above_chat(
    table: RateTable,
    solution: str,
    suite: str,
    margin: float,
    rule: Rule,
    *,
    scale: float = 1.0,
    counts: bool = True,
) -> Part:
    """A solution's rate above the chat model's, against a margin."""
    name = f"{solution}{_times(scale)}, {SUITE_WORDS[suite]} − chat model"
    return rate_part(name, table.minus(suite, solution, scale), margin, rule, counts=counts)


def _coherence(table: RateTable, solution: str, scale: float) -> Part:
    """The control that a solution still makes sense."""
    return Part(
        f"lowest coherence of any suite, {solution}{_times(scale)}",
        table.lowest_coherence(solution, scale),
        None,
        COHERENT,
        "above",
        "share of answers in the suite where it is lowest",
        counts=False,
    )


def _times(scale: float) -> str:
    return "" if scale == 1 else f" at {scale:g} ×"
