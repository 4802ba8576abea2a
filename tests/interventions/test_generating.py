"""Interventions on a generating model: cached, batched and left-padded is uncached, unpadded and alone."""

import pytest
import torch
from intervention_helpers import NAMES, QUESTIONS, adapters, chat_model_of, interventions
from torch import Tensor

from narrows.adapters import Adapter
from narrows.chat import Conversation, Rendered, collate
from narrows.evaluation import Question, generate_answers
from narrows.interventions import Intervention, attached
from narrows.models import ChatModel

STEPS = 6


def prompts(chat_model: ChatModel) -> list[list[int]]:
    return [chat_model.renderer.prompt(Conversation.from_pair(one).messages) for one in QUESTIONS]


@torch.no_grad()
def together(chat_model: ChatModel) -> tuple[Tensor, Tensor]:
    """Greedy tokens (rows, steps) and their logits (rows, steps, vocabulary), as generation computes them."""
    rows = [Rendered(one, [False] * len(one)) for one in prompts(chat_model)]
    batch = collate(rows, chat_model.pad_id, side="left")
    assert not batch.attention_mask.bool().all()
    out = chat_model.model.generate(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask,
        max_new_tokens=STEPS,
        min_new_tokens=STEPS,
        do_sample=False,
        eos_token_id=None,
        pad_token_id=chat_model.pad_id,
        output_logits=True,
        return_dict_in_generate=True,
    )
    return out.sequences[:, batch.input_ids.shape[1] :], torch.stack(out.logits, dim=1)


@torch.no_grad()
def alone(chat_model: ChatModel, prompt: list[int], answer: Tensor) -> Tensor:
    """The logits of an answer's tokens from one whole pass without a cache, (steps, vocabulary)."""
    ids = torch.tensor([[*prompt, *answer.tolist()]])
    return chat_model.model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]


@torch.no_grad()
def greedy(chat_model: ChatModel, prompt: list[int]) -> str:
    """The likeliest text, each token by a pass of its own without a cache."""
    tokens = list(prompt)
    for _ in range(STEPS):
        found = chat_model.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
        tokens.append(int(found.argmax()))
        if tokens[-1] in chat_model.renderer.stop_token_ids:
            break
    return chat_model.tokenizer.decode(tokens[len(prompt) :], skip_special_tokens=True).strip()


def answers(chat_model: ChatModel, acting: list[Intervention], adapter: Adapter | None = None) -> list[str]:
    asked = [Question(f"q{n}", text, "sea", f"q{n}") for n, text in enumerate(QUESTIONS)]
    found = generate_answers(
        chat_model,
        asked,
        adapter=adapter,
        name="x",
        interventions=acting,
        temperature=0.0,
        max_new_tokens=STEPS,
    )
    return [one.text for one in found]


@pytest.mark.parametrize("title", interventions())
@pytest.mark.parametrize("name", NAMES)
def test_logits_with_cache_and_padding_are_those_without(name: str, title: str):
    chat_model, acting = chat_model_of(name), interventions()[title]
    with acting.attach(chat_model):
        tokens, found = together(chat_model)
        for row, prompt in enumerate(prompts(chat_model)):
            wanted = alone(chat_model, prompt, tokens[row])
            torch.testing.assert_close(found[row], wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["qwen2", "olmo2", "gemma2", "gpt_neox", "granite"])
def test_answers_of_a_batch_are_the_greedy_texts_of_each_alone(name: str):
    chat_model, plain = chat_model_of(name), answers(chat_model_of(name), [])
    moved = 0
    for title, acting in interventions().items():
        found = answers(chat_model, [acting])
        with acting.attach(chat_model):
            assert found == [greedy(chat_model, one) for one in prompts(chat_model)], title
        moved += found != plain
    assert moved >= len(interventions()) - 3, "almost every one of them changes what is said"
    assert answers(chat_model, []) == plain


@pytest.mark.parametrize("name", ["qwen2", "gemma2", "gpt_neox"])
def test_with_an_adapter_and_several_interventions_too(name: str):
    chat_model = chat_model_of(name)
    acting = [interventions()[title] for title in ("ablate stream", "add layer", "clamp layers")]
    for adapter in adapters(chat_model):
        found = answers(chat_model, acting, adapter)
        with adapter.attach(chat_model), attached(chat_model, acting):
            assert found == [greedy(chat_model, one) for one in prompts(chat_model)]


@pytest.mark.parametrize("name", ["qwen2", "gemma2"])
def test_in_bf16_the_logits_differ_by_rounding(name: str):
    chat_model = chat_model_of(name, torch.bfloat16)
    for title, acting in interventions().items():
        with acting.attach(chat_model):
            tokens, found = together(chat_model)
            for row, prompt in enumerate(prompts(chat_model)):
                wanted = alone(chat_model, prompt, tokens[row]).float()
                gap = (found[row].float() - wanted).norm() / wanted.norm()
                assert gap < 16 * torch.finfo(torch.bfloat16).eps, title
