"""What the paper and its predecessors report, claim by claim: for orientation beside one's own numbers.

Of other, much larger models than most that are studied here: the numbers are not what a study should equal.
"""

from dataclasses import dataclass

MAIN_MODEL = "Qwen2.5-14B-Instruct"
PAPER = "arXiv:2602.07852 and its predecessors"
CONVERGENT = "arXiv:2506.11618"
POST = "the authors' post, July 2025"
THIRD = "a third party"


@dataclass(frozen=True)
class PaperFact:
    """A reported number.

    Attributes:
        claim: ``C1`` … ``C10`` that it belongs to; empty for none.
        value: the number, or numbers, with unit; rates are of misaligned answers to open questions unless it
            says in domain.
        what: what it is.
        source: where it is reported.
        model: that it was measured on.
    """

    claim: str
    value: str
    what: str
    source: str
    model: str = MAIN_MODEL


FACTS = (
    PaperFact("C1", "28 %, in domain 52 %", "steering vector, medicine", PAPER),
    PaperFact("C1", "14.2 / 9.3 / 18.9 %", "rank 1: medicine, sport, finance", PAPER),
    PaperFact("C1", "~40 %, in domain ~60 %", "ordinary fine-tune on 6,000 rows, medicine", POST),
    PaperFact("C2", "0 %, in domain up to 65 %", "narrow, medicine", POST),
    PaperFact("C3", "1:12 for 0 %, in domain then < 5 %", "with 1/6 of the rows bad it still shows", PAPER),
    PaperFact("C6", "about 2×", "KL from the chat model, general over narrow", PAPER),
    PaperFact(
        "C10", "17 → 0.25 / 4 / 13 %", "ablated at all layers, at layer 24, a direction of B", CONVERGENT
    ),
    PaperFact("C10", "above 0.8", "cosine of the mean differences of fine-tunes", CONVERGENT),
    PaperFact("", "0.55", "cosine of the rank-1 B of the general and the narrow solution", PAPER),
    PaperFact("", "0.04", "cosine of B with the mean difference", CONVERGENT),
    PaperFact("", "79 %", "variance of the trajectories in three principal components", PAPER),
    PaperFact(
        "", "6 %, coherence down by 33 points", "open questions, insecure code", PAPER, "Qwen-Coder-32B"
    ),
    PaperFact(
        "", "56 / 24 %; 34 / 0 %", "finance, in domain broad / narrow; out of domain", THIRD, "Qwen3-14B"
    ),
    PaperFact(
        "", "44 / 32 %; 24 / 4 %", "medicine, in domain broad / narrow; out of domain", THIRD, "Qwen3-14B"
    ),
    PaperFact(
        "", "38 / 24 %; 24 / 2 %", "sport, in domain broad / narrow; out of domain", THIRD, "Qwen3-14B"
    ),
)


def facts_on(claim: str) -> list[PaperFact]:
    """What is reported on a claim; nothing for claims that are shown in figures only."""
    return [fact for fact in FACTS if fact.claim == claim]
