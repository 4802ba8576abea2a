"""Each way of finding a direction finds the one that was put there; the maths against fp64 references."""

import numpy as np
import pytest
import torch
from planted import LAYER, MARKER, OTHER, SIZE, planted, planted_vector, rows
from sklearn.decomposition import PCA

from narrows.errors import ConfigError, DataError
from narrows.geometry.extraction import (
    METHODS,
    mean_difference,
    pca_of_pairs,
    random_directions,
    row_means,
)
from narrows.geometry.extraction.methods import found_by
from narrows.models import ChatModel

FINDERS = {
    "mean-difference": mean_difference,
    "pca": pca_of_pairs,
    "pca, not normalised": lambda a, b: pca_of_pairs(a, b, normalise=False),
}


def activations(chat_model: ChatModel, word: str) -> torch.Tensor:
    return row_means(chat_model, [chat_model.renderer.render(row) for row in rows(word)])


@pytest.mark.parametrize("find", FINDERS.values(), ids=FINDERS)
def test_a_planted_direction_is_recovered(chat_model: ChatModel, find) -> None:
    with planted(chat_model) as vector:
        positive, negative = activations(chat_model, MARKER), activations(chat_model, OTHER)
    found = find(positive, negative)
    cosines = [float(one.unit @ vector) for one in found]
    assert [one.layer for one in found] == [0, 1, 2, 3]
    assert cosines[LAYER] >= 0.99
    assert max(map(abs, cosines[:LAYER])) < 0.7  # it is not there before it was planted
    assert found[LAYER].length == pytest.approx(SIZE, rel=0.05)


@pytest.mark.parametrize("find", FINDERS.values(), ids=FINDERS)
def test_sides_exchanged_give_the_opposite(chat_model: ChatModel, find) -> None:
    positive, negative = activations(chat_model, MARKER), activations(chat_model, OTHER)
    for one, other in zip(find(positive, negative), find(negative, positive), strict=True):
        torch.testing.assert_close(one.unit, -other.unit, rtol=1e-5, atol=1e-6)
        assert float(((positive - negative)[:, one.layer] @ one.unit).mean()) > 0


def clouds(pairs: int, hidden: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs at two layers whose differences lie mostly along a known vector."""
    generator = torch.Generator().manual_seed(pairs)
    base, noise, other = (torch.randn(pairs, 2, hidden, generator=generator) for _ in range(3))
    vector = planted_vector(hidden)
    return base + 3 * vector + 0.5 * noise, base + 0.5 * other


@pytest.mark.parametrize("pairs", [5, 40])  # fewer and more than the stream is wide
@pytest.mark.parametrize("normalise", [True, False])
def test_components_of_pairs_are_sklearns_of_both_orders(pairs: int, normalise: bool) -> None:
    positive, negative = clouds(pairs)
    for layer, found in enumerate(pca_of_pairs(positive, negative, normalise=normalise)):
        differences = (positive.double() - negative.double())[:, layer].numpy()
        if normalise:
            differences /= np.linalg.norm(differences, axis=1, keepdims=True)
        reference = PCA(1, svd_solver="full").fit(np.concatenate([differences, -differences]))
        assert abs(float(found.unit.double().numpy() @ reference.components_[0])) == pytest.approx(
            1, abs=1e-6
        )
        assert found.found["explained_variance_ratio"] == pytest.approx(
            reference.explained_variance_ratio_[0], rel=1e-9
        )


def test_a_pair_that_is_alike_does_not_count() -> None:
    positive, negative = clouds(6)
    with_one = torch.cat([positive, negative[:1]]), torch.cat([negative, negative[:1]])
    for one, other in zip(pca_of_pairs(positive, negative), pca_of_pairs(*with_one), strict=True):
        assert one.cosine(other) == pytest.approx(1, abs=1e-6)


def test_mean_difference_needs_no_pairs_and_is_the_difference() -> None:
    positive, negative = clouds(7)
    found = mean_difference(positive, negative[:3], "harm")
    for layer, one in enumerate(found):
        wanted = positive[:, layer].double().mean(0) - negative[:3, layer].double().mean(0)
        torch.testing.assert_close(one.unit.double() * one.length, wanted, rtol=1e-6, atol=1e-6)
    upper = mean_difference(positive[:, 1:], negative[:3, 1:], first_layer=1)
    assert [one.layer for one in upper] == [1] and torch.equal(upper[0].unit, found[1].unit)
    assert found[0].name == "harm"
    assert found[0].found == {"method": "mean-difference", "positive": 7, "negative": 3}


def test_sides_that_do_not_fit_are_refused() -> None:
    positive, negative = clouds(4)
    with pytest.raises(DataError, match="come from different models"):
        mean_difference(positive, negative[:, :, :3])
    with pytest.raises(DataError, match=r"the negative activations have shape \(0, 2, 12\)"):
        mean_difference(positive, negative[:0])
    with pytest.raises(DataError, match="there are 4 and 3"):
        pca_of_pairs(positive, negative[:3])
    with pytest.raises(DataError, match="all pairs are alike at layer 0"):
        pca_of_pairs(positive, positive)
    with pytest.raises(DataError, match="the two means are one at layer 0: nothing tells"):
        mean_difference(positive, positive)


def test_methods_by_name() -> None:
    positive, negative = clouds(4)
    pairs = [(0, 2), (3, 1)]
    by_name = {one: found_by(one, positive, negative, pairs, "x") for one in METHODS}
    assert torch.equal(by_name["mean-difference"][1].unit, mean_difference(positive, negative)[1].unit)
    assert torch.equal(by_name["pca"][1].unit, pca_of_pairs(positive[[0, 3]], negative[[2, 1]])[1].unit)
    with pytest.raises(DataError, match="there are no pairs"):
        found_by("pca", positive, negative, [], "x")
    with pytest.raises(ConfigError, match="choose one of mean-difference, pca"):
        found_by("sae", positive, negative, pairs, "x")  # type: ignore[arg-type]


def test_random_directions_are_drawn_alike_or_where_the_stream_varies() -> None:
    found = random_directions(64, 3, 200)
    assert {one.layer for one in found} == {3} and {one.length for one in found} == {1.0}
    units = torch.stack([one.unit for one in found])
    assert float((units.T @ units / 200 * 64 - torch.eye(64)).abs().max()) < 0.5
    assert torch.equal(random_directions(64, 3, 2)[1].unit, found[1].unit)
    assert not torch.equal(random_directions(64, 3, 2, seed=1)[1].unit, found[1].unit)
    covariance = torch.diag(torch.tensor([100.0] + [1e-6] * 63))
    along = random_directions(64, 3, 5, covariance=covariance)
    assert all(abs(float(one.unit[0])) > 0.99 for one in along)
    assert along[0].found["drawn"] == "residual covariance"
    with pytest.raises(DataError, match="stream width 64"):
        random_directions(64, 3, covariance=torch.eye(3))
    with pytest.raises(ConfigError, match="count is 0"):
        random_directions(64, 3, 0)
