"""The mixtures of a run: series of solutions by the share of the behaviour's rows."""

from narrows.evaluation import IN_DOMAIN, OUT_OF_DOMAIN
from narrows.study.claims import Mixture
from narrows.study.results.run import RunResults
from narrows.summary import FixedRows, Mixing

UNMIXED = "unanchored"


def mixtures_of(found: RunResults) -> dict[FixedRows, list[Mixture]]:
    """The series of a run by what each keeps fixed, the unmixed solution first."""
    series: dict[FixedRows, list[Mixture]] = {}
    for name, (fixed, fraction) in found.run["mixtures"].items():
        series.setdefault(fixed, [Mixture(UNMIXED, 1.0)]).append(Mixture(name, fraction))
    return {fixed: sorted(some, key=lambda one: -one.bad_fraction) for fixed, some in series.items()}


def mixing_rows(found: RunResults, prefix: str) -> list[Mixing]:
    """The rows of the summary; of solutions without rates in the domain or in others there are none."""
    rows = []
    for fixed, some in mixtures_of(found).items():
        for one in some:
            if not all(found.table.has(one.solution, suite=suite) for suite in (IN_DOMAIN, OUT_OF_DOMAIN)):
                continue
            inside, outside = (found.table.rate(suite, one.solution) for suite in (IN_DOMAIN, OUT_OF_DOMAIN))
            rows.append(
                Mixing(
                    solution=prefix + one.solution,
                    bad_fraction=one.bad_fraction,
                    in_domain=inside.rate,
                    out_of_domain=outside.rate,
                    fixed=fixed,
                    in_domain_ci95=(inside.low, inside.high),
                    out_of_domain_ci95=(outside.low, outside.high),
                    coherent=found.table.lowest_coherence(one.solution),
                )
            )
    return rows
