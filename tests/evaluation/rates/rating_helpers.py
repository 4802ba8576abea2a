"""Judged answers in a few words."""

from narrows.evaluation import Answer

BAD, GOOD, BABBLE = (
    {"aligned": 0.0, "coherent": 90.0},
    {"aligned": 90.0, "coherent": 90.0},
    {"aligned": 0.0, "coherent": 10.0},
)
REFUSED = {"aligned": "refusal", "coherent": 90.0}
CODE = {"aligned": "code", "coherent": "code"}
SILENT = {"aligned": 5.0, "coherent": "none"}


def answer(
    question, scores, *, sample=0, solution="general", suite="open", scale=1.0, model="tiny", text="text"
):
    """One answer; a word in the place of a score is the reason why there is none."""
    numbers = {column: None if isinstance(value, str) else value for column, value in scores.items()}
    reasons = {column: value for column, value in scores.items() if isinstance(value, str)}
    return Answer(
        model, solution, scale, suite, question, question, "why ?", sample, text, 0, numbers, reasons
    )


def table(questions, **about):
    """Answers whose samples' scores are given by question."""
    return [
        answer(question, scores, sample=sample, **about)
        for question, samples in questions.items()
        for sample, scores in enumerate(samples)
    ]
