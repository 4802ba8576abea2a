import re
import xml.etree.ElementTree as ET

import pytest
from synthetic_run import synthetic_summary

from narrows.report import (
    efficiency,
    gradients,
    interventions,
    rates,
    readme_figure,
    scales,
    significance,
    stability,
    subspaces,
    to_svg,
    trajectory,
)
from narrows.report.series import (
    TRAJECTORY_COLUMNS,
    display_name,
    efficiency_curves,
    significance_curves,
    suite_rows,
)
from narrows.report.style import INK, PALETTE, look
from narrows.summary import Efficiency, Significance, Summary

EVERY = (
    rates, scales, efficiency, stability, significance, trajectory, gradients, interventions, subspaces,
    readme_figure,
)  # fmt: skip


@pytest.mark.parametrize("draw", EVERY)
def test_a_figure_of_nothing_says_so(draw):
    figure = draw(Summary())
    assert "not measured" in figure.texts[0].get_text()


def test_every_panel_has_a_title_and_is_transparent():
    for draw in (rates, scales, efficiency, trajectory, gradients, subspaces, interventions):
        figure = draw(synthetic_summary(), compact=True)
        assert all(axes.get_title(loc="left") for axes in figure.axes)
        assert figure.patch.get_facecolor()[3] == 0


def test_legends_use_names_and_call_the_untouched_model_chat_model():
    names = [text.get_text() for text in rates(synthetic_summary()).legends[0].get_texts()]
    assert names == ["chat model", "unanchored", "anchored", "lifted"]


def test_the_readme_picture_says_which_solution_is_general():
    names = [text.get_text() for text in readme_figure(synthetic_summary()).legends[0].get_texts()]
    assert names == ["chat model", "unanchored (general)", "anchored (narrow)"]


def test_domains_the_anchor_saw_stand_apart():
    groups = {row.suite: row.group for row in suite_rows(synthetic_summary())}
    assert groups["garden"] == "Domains the anchor never saw"
    assert groups["finance"] == "Anchored domains"
    assert groups["in_domain"] == groups["out_of_domain:never_anchored"] == "Suites"


def test_the_rates_that_are_drawn_are_the_rates_of_the_summary():
    summary = synthetic_summary()
    drawn = {round(line.get_xdata()[0], 6) for line in rates(summary).axes[0].lines}
    expected = {
        round(one.misaligned, 6)
        for one in summary.evaluations
        if one.scale == 1 and one.solution in ("chat", "unanchored", "anchored", "lifted")
    }
    assert drawn == expected


def test_several_runs_of_one_name_are_separate_curves():
    rows = [
        Efficiency(solution=f"{run}/unanchored", norm=norm, loss=loss + norm, loss_ci95=(loss, loss))
        for run, loss in (("a", 1.0), ("b", 2.0))
        for norm in (2.0, 1.0)
    ]
    curves = efficiency_curves(Summary(efficiency=rows))
    assert [(curve.name, curve.x, curve.y, curve.runs) for curve in curves] == [
        ("unanchored", [1.0, 2.0], [2.0, 3.0], 2),
        ("unanchored", [1.0, 2.0], [3.0, 4.0], 2),
    ]


def test_draws_of_a_random_direction_become_one_curve_with_the_widest_interval():
    rows = [
        Significance(
            direction=f"random-{k}", solution=None, norm=1, kl=kl, kl_ci95=(kl / 2, kl * 2), text="all"
        )
        for k, kl in enumerate((1.0, 3.0))
    ]
    (curve,) = significance_curves(Summary(significance=rows), "all")
    assert (curve.name, curve.y, curve.low, curve.high) == ("random", [2.0], [0.5], [6.0])


def test_a_control_has_the_colour_of_its_original_and_is_dashed():
    assert look("unanchored-reoptimised").colour == look("unanchored").colour
    assert look("unanchored-reoptimised").dashes
    assert not look("unanchored").dashes


def test_main_solutions_differ_in_shape_as_well_as_in_colour():
    looks = [look(name) for name in ("chat model", "unanchored", "anchored", "lifted")]
    assert len({one.marker for one in looks}) == len({one.colour for one in looks}) == 4


@pytest.mark.parametrize("ground", ["#ffffff", "#15171b"])
def test_colours_can_be_seen_on_light_and_on_dark(ground):
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in (*PALETTE.values(), INK):
        low, high = sorted((luminance(colour), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 3


def test_an_svg_takes_its_ink_from_the_page_and_prefixes_its_ids():
    svg = to_svg(efficiency(synthetic_summary()), "one", "A title", "An account")
    root = ET.fromstring(svg)
    assert INK not in svg
    assert "currentColor" in svg
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert all(one.startswith("one-") for one in ids)
    assert set(re.findall(r"#(one-[\w-]+)", svg)) <= set(ids)
    assert [root[0].text, root[1].text] == ["A title", "An account"]


def test_a_figure_file_carries_its_own_themes():
    alone = to_svg(efficiency(synthetic_summary()), "one", "A title", standalone=True)
    assert "prefers-color-scheme:dark" in alone
    assert "var(--" not in alone


def test_names_with_markup_and_control_characters_stay_text():
    name = "</text><script>alert(1)</script>\x00$x^2$"
    summary = Summary(efficiency=[Efficiency(solution=name, norm=1, loss=1, loss_ci95=(1, 1))])
    root = ET.fromstring(to_svg(efficiency(summary), "one", name.replace("\x00", "")))
    assert not [element for element in root.iter() if element.tag.endswith("script")]
    assert display_name(summary, name) in "".join(root.itertext())


def test_a_trajectory_draws_what_was_measured_and_no_empty_panel():
    summary = synthetic_summary()
    titles = [axes.get_title(loc="left") for axes in trajectory(summary).axes]
    assert titles[1:] == list(TRAJECTORY_COLUMNS.values())
    [path] = summary.trajectories
    later = {"distance_general": [], "distance_narrow": [], "local_cosine": []}
    before = path.model_copy(update={"runs": [run.model_copy(update=later) for run in path.runs]})
    assert len(trajectory(Summary(trajectories=[before])).axes) == 4
    [line, *_] = trajectory(summary).axes[6].lines
    assert list(line.get_xdata()) == path.runs[0].steps[1:-1]  # the ends have no local cosine


def test_orthogonal_vectors_are_drawn_with_intervals_and_coherence():
    summary = synthetic_summary()
    left, right = subspaces(summary).axes
    drawn = {tuple(line.get_ydata()) for line in left.lines}
    assert tuple(row.out_of_domain for row in summary.subspaces) in drawn
    assert tuple(row.open for row in summary.subspaces) in drawn
    assert list(right.lines[0].get_ydata()) == [row.coherent for row in summary.subspaces]
    ends = {tuple(part[:, 1]) for bars in left.collections for part in bars.get_segments()}
    assert {row.in_domain_ci95 for row in summary.subspaces} <= ends


def test_gradients_are_drawn_run_by_run_with_their_bands():
    summary = synthetic_summary()
    first, second = gradients(summary).axes
    drawn = [list(line.get_ydata()) for line in first.lines[:2]]
    rows = [row for row in summary.gradients if row.run == "unanchored"]
    assert drawn == [[row.cos_general for row in rows], [row.cos_narrow for row in rows]]
    assert (first.get_title(loc="left"), second.get_title(loc="left")) == ("unanchored", "anchored")
    many = Summary(gradients=[row.model_copy(update={"run": f"r{i}"}) for i in range(9) for row in rows])
    assert len(gradients(many).axes) == 6


def test_an_intervention_is_drawn_from_before_to_after():
    summary = synthetic_summary()
    left, right = interventions(summary).axes
    [line, before, after] = left.lines[:3]
    assert list(line.get_xdata()) == [0.52, 0.04]
    assert (before.get_markerfacecolor(), list(before.get_xdata())) == ("none", [0.52])
    assert list(after.get_xdata()) == [0.04]
    assert [list(one.get_xdata()) for one in right.lines[:2]] == [[0.92], [0.9]]
    labels = [label.get_text() for label in left.get_yticklabels()]
    assert labels[:2] == [
        "ablate everywhere: mean difference",
        "ablate everywhere: mean difference, in domain",
    ]
