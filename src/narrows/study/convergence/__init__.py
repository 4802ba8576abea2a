"""One direction for all fine-tunes? It is found in one, and ablated there and in another domain's (C10).

``job`` says what is looked at, ``own_answers`` finds the direction in a fine-tune's own answers, ``running``
trains and ablates, and ``claim`` makes the verdict from what a finished run has kept.
"""

from narrows.study.convergence.claim import OWN, claim_of
from narrows.study.convergence.job import ConvergenceConfig, ConvergenceJob
from narrows.study.convergence.running import run_convergence

__all__ = ["OWN", "ConvergenceConfig", "ConvergenceJob", "claim_of", "run_convergence"]
