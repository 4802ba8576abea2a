import xml.etree.ElementTree as ET

import pytest
from matplotlib.colors import to_hex

from narrows.report import to_svg
from narrows.report.heat_maps import HeatMap, heat_maps
from narrows.report.style import PALETTE

SHARE = HeatMap("rate", [[0.0, 0.5], [1.0, None]], [["0 %", "50 %"], ["100 %", "–"]], "blue", top=1.0)
KL = HeatMap("KL", [[0.001, 0.1], [0.01, 0.0]], [["a", "b"], ["c", "<d>"]], "green")


def test_shares_are_shaded_by_their_value_and_kls_by_their_logarithm():
    assert [SHARE.shade(value) for value in (0.0, 0.5, 1.0, 2.0, None)] == [0.0, 0.5, 1.0, 1.0, 0.0]
    assert [KL.shade(value) for value in (0.001, 0.01, 0.1, 0.0)] == pytest.approx([0.1, 0.55, 1.0, 0.0])
    assert HeatMap("one", [[3.0]], [["3"]], "blue").shade(3.0) == 1.0


def test_values_below_0_have_their_own_colour():
    signed = HeatMap(
        "difference", [[0.5, -1.0], [-2.0, 0.0]], [["a"] * 2] * 2, "blue", top=2.0, below="orange"
    )
    places = heat_maps([signed], ["1", "2"], ["1", "2"]).axes[0].patches
    wanted = [("blue", 0.25), ("orange", 0.5), ("orange", 1.0), ("blue", 0.0)]
    assert [signed.shade(value) for row in signed.values for value in row] == [shade for _, shade in wanted]
    assert [to_hex(place.get_facecolor()) for place in places] == [PALETTE[colour] for colour, _ in wanted]


def test_every_place_has_its_text_and_the_marked_one_a_frame():
    figure = heat_maps([SHARE, KL], ["2 ×", "1 ×"], ["1", "2"], labels=("layer", "scale"), marked=(1, 0))
    for axes, one in zip(figure.axes, (SHARE, KL), strict=False):
        texts = {text.get_position(): text.get_text() for text in axes.texts}
        assert texts == {(column, row): one.texts[row][column] for row in (0, 1) for column in (0, 1)}
        frames = [patch for patch in axes.patches if not patch.get_fill()]
        assert [frame.get_xy() for frame in frames] == [(-0.48, 0.54)]
    assert not any(
        patch.get_fill() is False for patch in heat_maps([SHARE], ["a", "b"], ["1", "2"]).axes[0].patches
    )


def test_it_is_an_svg_whose_texts_stay_text():
    root = ET.fromstring(
        to_svg(heat_maps([KL], ["2 ×", "1 ×"], ["1", "2"]), "sweep", "Sweep", standalone=True)
    )
    assert "<d>" in "".join(root.itertext())
