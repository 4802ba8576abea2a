"""The rules of the paper's claims, by the margins that the design set before anything was measured.

``verdicts`` holds an interval against a margin, ``rates`` has the table of all solutions' rates and its
margins, ``solutions`` the rules of C1, C2 and C4-C7, ``mixing`` that of C3, ``geometry`` those of C8 and C10,
``register`` that of C9.
"""

from narrows.study.claims.geometry import Ablated, c8, c10
from narrows.study.claims.mixing import Mixture, c3
from narrows.study.claims.rates import RateTable
from narrows.study.claims.register import c9
from narrows.study.claims.solutions import c1, c2, c4, c5, c6, c7, gap_closed
from narrows.study.claims.verdicts import ClaimResult, Part

__all__ = [
    "Ablated",
    "ClaimResult",
    "Mixture",
    "Part",
    "RateTable",
    "c1",
    "c2",
    "c3",
    "c4",
    "c5",
    "c6",
    "c7",
    "c8",
    "c9",
    "c10",
    "gap_closed",
]
