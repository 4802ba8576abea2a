import copy

import numpy as np
import pytest
import torch
from metrics_helpers import ALPHA, DEPTH, LAYER, in_fp64, reference_kl, vectors
from torch.nn.attention import SDPBackend, sdpa_kernel

from linear_world import exact_kl, frozen, linear_world, texts, vector
from narrows.adapters import SteeringVector
from narrows.chat import Rendered
from narrows.errors import DataError
from narrows.metrics import kl_of_rows, random_directions, significance
from narrows.models import ChatModel, FrozenRows

NORMS = np.array([0.0, 0.5, 2.0])


@pytest.fixture(scope="module")
def world(chat_model: ChatModel) -> ChatModel:
    return linear_world(chat_model)


@pytest.fixture(scope="module")
def exact(chat_model: ChatModel) -> ChatModel:
    return in_fp64(chat_model)


def make(chat_model: ChatModel, rows: list[Rendered], **options: object) -> FrozenRows:
    return FrozenRows(chat_model, DEPTH, rows, read="all", reference=True, **options)


def test_significance_has_its_closed_form_where_steering_shifts_the_logits(world: ChatModel):
    rows = texts(world)
    directions = {"general": vector(world, 1.0), "narrow": vector(world, -0.6, 0.8)}
    curves = significance(world, frozen(world, rows, read="all", reference=True), directions, NORMS)["all"]
    for name, share in (("general", 1.0), ("narrow", -0.6)):
        wanted = [
            np.concatenate([exact_kl(world, row, share * norm) for row in rows]).mean() for norm in NORMS
        ]
        np.testing.assert_allclose(curves[name].mean, wanted, rtol=1e-6, atol=1e-12)


def test_it_is_the_kl_of_full_logits_in_fp64_and_never_negative(chat_model: ChatModel, exact: ChatModel):
    rows = texts(chat_model)
    (direction,) = vectors(1, norm=1.0)
    found = significance(chat_model, make(chat_model, rows), {"one": direction}, NORMS)["all"]["one"]
    exactly = significance(exact, make(exact, rows), {"one": direction}, NORMS)["all"]["one"]
    for place, norm in enumerate(NORMS):
        every = [reference_kl(exact, row, direction.scaled_to(float(norm))) for row in rows]
        wanted = np.concatenate(every).mean()
        assert exactly.mean[place] == pytest.approx(wanted, rel=1e-9, abs=1e-14)
        assert found.mean[place] == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    sums = kl_of_rows(exact, make(exact, rows), [direction.scaled_to(float(norm)) for norm in NORMS]).sums
    assert np.abs(sums[0]).max() < 1e-12  # a norm of 0
    assert (sums[1:] > 0).all()


def test_a_small_kl_is_half_the_fisher_form(exact: ChatModel):
    rows = texts(exact)[:3]
    layer = exact.model.model.layers[LAYER]

    def mean_kl(shift: torch.Tensor) -> torch.Tensor:
        """KL(P_chat ‖ P_steered), token mean, of the whole model; differentiable."""
        handle = layer.register_forward_hook(lambda module, arguments, output: output + shift)
        try:
            steered = [exact.model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1] for row in rows]
        finally:
            handle.remove()
        parts = []
        for row, logits in zip(rows, steered, strict=True):
            with torch.no_grad():
                chat = exact.model(input_ids=torch.tensor([row.input_ids])).logits[0, :-1].log_softmax(-1)
            parts.append((chat.exp() * (chat - logits.log_softmax(-1))).sum(-1))
        return torch.cat(parts).mean()

    with sdpa_kernel(SDPBackend.MATH):  # the only one that can be differentiated twice
        fisher = torch.autograd.functional.hessian(mean_kl, torch.zeros(32, dtype=torch.float64))
    frozen_rows = make(exact, rows)
    for direction in vectors(2):
        unit = direction.unit.double()
        half = 0.5 * float(unit @ fisher @ unit)
        variants = [direction.scaled_to(norm) for norm in (1e-3, 2e-3)]
        small, double = kl_of_rows(exact, frozen_rows, variants).means
        assert small == pytest.approx(half * 1e-6, rel=5e-3)
        assert double / small == pytest.approx(4.0, rel=5e-3)


def test_the_texts_of_a_type_give_what_measuring_them_alone_gives(chat_model: ChatModel):
    rows = texts(chat_model)
    directions = {"one": vectors(1)[0], "several": vectors(3)[1:]}
    groups = {"short": [0, 4, 8], "late": range(5, 12)}
    found = significance(chat_model, make(chat_model, rows), directions, NORMS, groups)
    assert list(found) == ["all", "short", "late"]
    for group, places in groups.items():
        alone = significance(chat_model, make(chat_model, [rows[i] for i in places]), directions, NORMS)[
            "all"
        ]
        for name in directions:
            np.testing.assert_allclose(found[group][name].samples, alone[name].samples, rtol=1e-4, atol=1e-6)
            assert found[group][name].samples.shape == (len(places), len(NORMS))


def test_cached_texts_give_what_texts_computed_at_each_use_give(chat_model: ChatModel):
    rows = texts(chat_model)
    directions = {"one": vectors(1)[0]}
    cached, fresh = (
        significance(chat_model, make(chat_model, rows, **options), directions, NORMS)["all"]["one"]
        for options in ({}, {"cache_bytes": 0})
    )
    np.testing.assert_allclose(cached.samples, fresh.samples, rtol=1e-4, atol=1e-6)


def test_several_vectors_of_one_name_give_the_mean_of_their_curves(chat_model: ChatModel):
    rows = make(chat_model, texts(chat_model))
    left, right = vectors(2)
    found = significance(chat_model, rows, {"both": [left, right], "left": left, "right": right}, NORMS)[
        "all"
    ]
    halves = (found["left"].samples + found["right"].samples) / 2
    np.testing.assert_allclose(found["both"].samples, halves, rtol=1e-4, atol=1e-7)


def test_a_type_with_one_text_has_no_interval(chat_model: ChatModel):
    with pytest.raises(DataError, match="at least two"):
        significance(
            chat_model, make(chat_model, texts(chat_model)), {"one": vectors(1)[0]}, NORMS, {"lone": [3]}
        )


def test_random_directions_have_the_place_and_norm_of_the_vector_they_stand_beside():
    like = vectors(1, norm=7.0)[0]
    found = random_directions(like, 6, seed=3)
    assert len(found) == 6
    for one in found:
        assert (one.layer, one.alpha) == (LAYER, ALPHA)
        assert one.effective_norm == pytest.approx(7.0, rel=1e-5)
    again, other = random_directions(like, 6, seed=3), random_directions(like, 6, seed=4)
    assert all(torch.equal(a.vector, b.vector) for a, b in zip(found, again, strict=True))
    assert abs(found[0].cosine(other[0])) < 0.9
    assert abs(found[0].cosine(found[1])) < 0.9


def second_moment(directions: list[SteeringVector]) -> torch.Tensor:
    units = torch.stack([one.unit.double() for one in directions])
    return units.T @ units / len(units)


def test_isotropic_directions_have_no_preferred_axis():
    like = SteeringVector(torch.ones(4), 0)
    moment = second_moment(random_directions(like, 3000))
    torch.testing.assert_close(moment, torch.eye(4, dtype=torch.float64) / 4, rtol=0, atol=0.02)


def test_directions_drawn_with_a_covariance_are_isotropic_once_whitened():
    generator = torch.Generator().manual_seed(9)
    root = torch.randn(4, 4, generator=generator, dtype=torch.float64) * torch.tensor([3.0, 1.0, 0.5, 0.2])
    covariance = root @ root.T
    drawn = random_directions(SteeringVector(torch.ones(4), 0), 3000, covariance=covariance)
    whiten = torch.linalg.inv(torch.linalg.cholesky(covariance))
    whitened = [SteeringVector((whiten @ one.unit.double()).float(), 0) for one in drawn]
    flat = torch.eye(4, dtype=torch.float64) / 4
    torch.testing.assert_close(second_moment(whitened), flat, rtol=0, atol=0.02)
    assert (second_moment(drawn) - flat).abs().max() > 0.1


def test_directions_drawn_with_a_singular_covariance_lie_where_it_varies():
    covariance = torch.zeros(4, 4)
    covariance[:2, :2] = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    like = SteeringVector(torch.ones(4), 0)
    before = copy.deepcopy(covariance)
    for one in random_directions(like, 20, covariance=covariance):
        assert one.unit[2:].abs().max() < 1e-6
    assert torch.equal(covariance, before)
