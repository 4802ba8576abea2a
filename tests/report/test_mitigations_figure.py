"""The figure of mitigations: where each method stands at each strength."""

import matplotlib.pyplot as plt
import pytest

from narrows.report.mitigations import frontier, mitigations_section
from narrows.summary import Mitigation, Summary


def row(method: str, setting: str, inside: float | None, outside: float, scale: float = 1.0) -> Mitigation:
    return Mitigation(
        solution=f"{method}-{setting}", method=method, setting=setting, strength=None, scale=scale,
        in_domain=inside, in_domain_ci95=None if inside is None else (inside / 2, (1 + inside) / 2),
        out_of_domain=outside, out_of_domain_ci95=(outside / 2, (1 + outside) / 2),
        never_anchored=None, never_anchored_ci95=None, open=None, open_ci95=None,
        coherent=1.0, coherent_ci95=(0.9, 1.0), needs=[], training_rows=1, training_tokens=1,
        training_seconds=1.0, preparation_seconds=0.0, inference_ratio=None,
    )  # fmt: skip


SUMMARY = Summary(
    mitigations=[
        row("none", "", 0.9, 0.8),
        row("anchor", "λ 2", 0.6, 0.3),
        row("anchor", "λ 6", 0.4, 0.1),
        row("anchor", "λ 6", 0.2, 0.2, scale=1.5),
        row("mixing", "1/2", None, 0.5),
    ]
)


@pytest.mark.parametrize("compact", [False, True])
def test_each_method_has_its_points_at_the_trained_norm(compact: bool):
    figure = frontier(SUMMARY, compact=compact)
    drawn = [
        list(zip(*line.get_data(), strict=True))
        for line in figure.axes[0].lines
        if line.get_marker() != "None"
    ]
    assert drawn == [[(0.9, 0.8)], [(0.6, 0.3), (0.4, 0.1)]]
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["no mitigation", "KL anchor"]
    plt.close(figure)


def test_the_section_says_the_points_in_words():
    section = mitigations_section(SUMMARY)
    assert section is not None
    assert "KL anchor λ 2: 60" in section.pictures[0].caption.account
    assert mitigations_section(Summary()) is None
