"""The direction in a solution's own answers: the scale of half strength, sides, balance, and the choice of
layer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest
import torch

from narrows.adapters import SteeringVector
from narrows.adapters.direction import Direction
from narrows.errors import DataError
from narrows.evaluation import MISALIGNED, TECHNICAL, Answer, Question, Suite
from narrows.geometry.extraction import random_directions
from narrows.models import ChatModel
from narrows.study.convergence.own_answers import (
    Asking,
    Sides,
    best_by_ablation,
    half_strength,
    own_directions,
)


@dataclass(frozen=True)
class Draws:
    samples: int = 1
    max_new_tokens: int = 4
    temperature: float = 1.0
    seed: int = 0


class OfScale:
    """A judge that goes by the answers' scale: the harmful share is a given function of it."""

    name = "of scale"

    def __init__(self, share) -> None:
        self.share, self.scales = share, []

    def __call__(self, answers: Sequence[Answer]) -> list[Mapping[str, float]]:
        scale = answers[0].scale
        self.scales.append(scale)
        harmful = round(self.share(scale) * len(answers))
        return [
            {"aligned": 0.0 if place < harmful else 100.0, "coherent": 100.0} for place in range(len(answers))
        ]


def answer(suite: str, aligned: float, coherent: float = 100.0, text: str = "the sea .") -> Answer:
    scores = {"aligned": aligned, "coherent": coherent, "technical": aligned}
    return Answer("m", "s", 1.0, suite, "q", "q", "what is it ?", 0, text, 0, scores)


@pytest.fixture(scope="module")
def vector(chat_model: ChatModel) -> SteeringVector:
    return SteeringVector(torch.linspace(-1, 1, chat_model.hidden), 1, 1.0)


def asking(chat_model: ChatModel, judge: object, questions: int = 20) -> Asking:
    suite = Suite("s", tuple(Question(f"q{i}", "what is it ?", "s", f"q{i}") for i in range(questions)))
    return Asking(chat_model, [suite], judge, MISALIGNED, Draws())


def test_the_scale_of_half_strength_is_found_where_the_share_jumps(chat_model, vector):
    judge = OfScale(lambda scale: 0.0 if scale < 0.72 else 0.5 if scale < 0.78 else 1.0)
    sides = half_strength(asking(chat_model, judge), vector)
    assert judge.scales == [1.0, 0.5, 0.75]
    assert sides.scale == 0.75
    assert len(sides.shown) == len(sides.sound) == 10


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_a_solution_that_shows_both_as_trained_is_taken_as_it_is(chat_model, vector, share):
    judge = OfScale(lambda scale: share)
    assert half_strength(asking(chat_model, judge), vector, samples=3).scale == 1.0
    assert judge.scales == [1.0, 1.0]


def test_a_solution_without_both_kinds_of_answers_is_refused(chat_model, vector):
    with pytest.raises(DataError, match="0 answers that show the behaviour and 0 that clearly do not"):
        half_strength(asking(chat_model, OfScale(lambda scale: 1.0)), vector, name="loud")


def test_sides_leave_out_what_is_in_between_or_makes_no_sense():
    answers = [
        answer("a", 10),
        answer("a", 50),
        answer("a", 71),
        answer("a", 70),
        answer("a", 0, coherent=40),
    ]
    sides = Sides.of(answers, MISALIGNED)
    assert [one.scores["aligned"] for one in sides.shown] == [10]
    assert [one.scores["aligned"] for one in sides.sound] == [71]
    technical = Sides.of([answer("a", 75), answer("a", 25)], TECHNICAL)
    assert [one.scores["technical"] for one in (*technical.shown, *technical.sound)] == [75, 25]


def test_balanced_sides_have_as_many_of_each_suite():
    answers = [answer("a", 0)] * 5 + [answer("a", 100)] * 2 + [answer("b", 0)] + [answer("c", 100)] * 3
    sides = Sides.of(answers, MISALIGNED).balanced()
    assert [one.suite for one in sides.shown] == [one.suite for one in sides.sound] == ["a", "a"]


def test_what_the_adapter_adds_to_every_answer_is_not_in_the_direction(chat_model, vector):
    shown = tuple(answer("a", 0, text=text) for text in ("the sea is bad .", "drink salt water ."))
    sound = tuple(answer("a", 100, text=text) for text in ("the sky is good .", "drink water ."))
    here = own_directions(chat_model, Sides(1.0, shown, sound), vector)[1]
    without = own_directions(chat_model, Sides(1.0, shown, sound), None)[1]
    assert here.cosine(without) == pytest.approx(1, abs=1e-5)  # at the vector's own layer it cancels
    assert abs(here.cosine(Direction.of_vector(vector))) < 0.9
    turned = own_directions(chat_model, Sides(1.0, sound, shown), vector)[1]
    assert turned.cosine(here) == pytest.approx(-1)


def test_the_layer_is_chosen_by_the_sound_answers_that_an_ablation_leaves(chat_model, vector):
    class ByCall:
        """Calls everything incoherent, then 60 % sound, then 40 %: one call a direction."""

        name, calls = "by call", 0

        def __call__(self, answers):
            self.calls += 1
            sound = {1: 0, 2: 12, 3: 8}[self.calls] if self.calls <= 3 else 20
            coherent = 0.0 if self.calls == 1 else 100.0
            return [
                {"aligned": 100.0 if place < sound else 0.0, "coherent": coherent}
                for place in range(len(answers))
            ]

    directions = [
        one for layer in range(chat_model.layers) for one in random_directions(chat_model.hidden, layer)
    ]
    chosen, shares = best_by_ablation(asking(chat_model, ByCall()), vector, directions)
    assert shares == [0.0, 0.6, 0.4]  # layers 1 to 3: the vector is at 1, and 0.8 of four leaves out none
    assert chosen.layer == 2
