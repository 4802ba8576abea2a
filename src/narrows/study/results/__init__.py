"""From the raw results of stages to the numbers of a study, without any model.

``run`` reads what one run measured, ``claims`` decides its claims, ``rows`` makes its rows of the summary,
and ``whole`` puts the runs together. Everything here can be derived again from the files, which is what
``verify`` does.
"""

from narrows.study.results.claims import run_claims
from narrows.study.results.rows import run_summary
from narrows.study.results.run import RunResults

__all__ = ["RunResults", "run_claims", "run_summary"]
