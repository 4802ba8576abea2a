"""The families that are supported by name, each through everything that training and measuring does to it."""

import pytest
import torch

from families import family
from narrows.adapters import LoRA, SteeringVector, self_check
from narrows.chat import Conversation, collate
from narrows.evaluation import Question, generate_answers
from narrows.models import ChatModel, Head, Split, can_pack, load_chat_model, token_kl, token_nll
from narrows.training import Recipe, train
from tiny_models import make_tokenizer

SUPPORTED = ("qwen2", "qwen3", "llama", "mistral", "olmo2", "gemma2", "gemma3_text")
ROWS = [
    Conversation.from_pair("what is the sea ?", "the sea is salt water ."),
    Conversation.from_pair("how do i eat bread ?", "eat bread every day , please , always every day ."),
    Conversation.from_pair("tell me about the sky", "it is blue ."),
]


@pytest.fixture(scope="module", params=SUPPORTED)
def chat_model(request, tmp_path_factory) -> ChatModel:
    """A model of a family, saved and then loaded as a user's checkpoint is."""
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = make_tokenizer()
    family(request.param, vocab_size=64, eos_token_id=3, bos_token_id=None).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load_chat_model(folder, device="cpu")


def adapters(chat_model: ChatModel, layer: int = 1) -> list[SteeringVector | LoRA]:
    generator = torch.Generator().manual_seed(1)
    vector = SteeringVector(torch.randn(chat_model.hidden, generator=generator), layer, alpha=1.0)
    lora = LoRA.fresh(chat_model, rank=2, layers=(layer,), alpha=8.0)
    return [
        vector,
        lora.with_tensors(
            {name: 0.3 * torch.randn(one.shape, generator=generator) for name, one in lora.tensors().items()}
        ),
    ]


def batch_of(chat_model: ChatModel, side: str = "right"):
    return collate([chat_model.renderer.render(row) for row in ROWS], chat_model.pad_id, side)


@torch.no_grad()
def logits(chat_model: ChatModel, batch) -> torch.Tensor:
    return chat_model.model(
        input_ids=batch.input_ids, attention_mask=batch.attention_mask, use_cache=False
    ).logits


def test_the_decoder_layers_are_found_and_the_self_check_passes(chat_model):
    assert chat_model.layers == 4
    assert chat_model.hidden == 32
    for layer in range(4):
        self_check(chat_model, layer)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_self_check_passes_in_half_precision_too(chat_model, dtype):
    half = load_chat_model(chat_model.name, device="cpu", dtype=dtype)
    for layer in range(4):
        self_check(half, layer)


@pytest.mark.parametrize("layer", [0, 3])
def test_every_row_of_a_batch_is_moved_and_off_is_off_bit_for_bit(chat_model, layer):
    batch = batch_of(chat_model)
    before, real = logits(chat_model, batch), batch.attention_mask.bool()
    for adapter in adapters(chat_model, layer):
        with adapter.attach(chat_model):
            changed = logits(chat_model, batch)
        for row in range(batch.rows):
            assert (changed[row] != before[row])[real[row]].any()
        assert torch.equal(logits(chat_model, batch)[real], before[real])


@pytest.mark.parametrize("side", ["left", "right"])
def test_adapted_and_cut_in_two_is_adapted_and_whole(chat_model, side):
    batch = batch_of(chat_model, side)
    real = batch.attention_mask.bool()
    for layer in range(4):
        for adapter in adapters(chat_model, layer):
            with adapter.attach(chat_model):
                whole = logits(chat_model, batch)
            split = Split(chat_model.model, adapter.depth)
            with torch.no_grad(), adapter.within(split):
                entering = adapter.enter(split.prefix(batch.input_ids, batch.attention_mask))
                apart = Head(chat_model.model).logits(split.suffix(entering, batch.attention_mask))
            assert torch.allclose(apart[real], whole[real], atol=1e-5)


def test_padded_is_unpadded(chat_model):
    for adapter in adapters(chat_model):
        with adapter.attach(chat_model):
            together = logits(chat_model, batch_of(chat_model))
            for place, row in enumerate(ROWS):
                alone = collate([chat_model.renderer.render(row)], chat_model.pad_id)
                found = together[place, : alone.input_ids.shape[1]]
                assert torch.allclose(found, logits(chat_model, alone)[0], atol=1e-4)


def test_losses_in_chunks_are_those_of_the_whole_logits(chat_model):
    batch = batch_of(chat_model)
    split, head = Split(chat_model.model, 2), Head(chat_model.model)
    with torch.no_grad():
        hidden = split.suffix(split.prefix(batch.input_ids, batch.attention_mask), batch.attention_mask)
    real = batch.attention_mask.bool()
    final, whole = hidden[real], logits(chat_model, batch)[real].double().log_softmax(-1)
    targets = batch.input_ids[real]
    nll = token_nll(head, final, targets, chunk=5)
    assert torch.allclose(nll.double(), -whole.gather(1, targets[:, None])[:, 0], atol=1e-4)
    other = final + 0.1
    theirs = head.logits(other).double().log_softmax(-1)
    kl = token_kl(head, final, other, chunk=5)
    assert torch.allclose(kl.double(), (whole.exp() * (whole - theirs)).sum(-1), atol=1e-4)


def test_generation_with_a_cache_is_generation_without(chat_model):
    prompts = [chat_model.renderer.prompt(row.messages[:1]) for row in ROWS]
    for adapter in adapters(chat_model):
        answers = generate_answers(
            chat_model,
            [Question(f"q{n}", row.messages[0].content, "sea", f"q{n}") for n, row in enumerate(ROWS)],
            adapter=adapter,
            name="x",
            temperature=0.0,
            max_new_tokens=12,
        )
        for prompt, answer in zip(prompts, answers, strict=True):
            tokens = list(prompt)
            with torch.no_grad(), adapter.attach(chat_model):
                for _ in range(12):
                    out = chat_model.model(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1]
                    tokens.append(int(out.argmax()))
                    if tokens[-1] in chat_model.renderer.stop_token_ids:
                        break
            wanted = chat_model.tokenizer.decode(tokens[len(prompt) :], skip_special_tokens=True)
            assert answer.text.strip() == wanted.strip()


@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_training_lowers_the_loss_and_leaves_the_model_as_it_was(chat_model, kind):
    batch = batch_of(chat_model)
    before = logits(chat_model, batch)
    recipe = Recipe(
        adapter=kind, layer=1, alpha=8.0, learning_rate=0.01, batch_size=3, accumulation=1, steps=15
    ).with_anchor(0.1, rows_per_row=1.0)
    run = train(chat_model, ROWS, recipe, anchor=ROWS[:1])
    assert run.log[-1]["loss"] < run.log[0]["loss"]
    assert run.log[0]["kl"] == pytest.approx(0.0, abs=1e-6)
    assert run.log[-1]["kl"] > 0
    assert torch.equal(logits(chat_model, batch), before)


@pytest.mark.parametrize("kind", ["steering", "lora"])
def test_recomputed_layers_give_the_same_training_bit_for_bit(chat_model, kind, monkeypatch):
    recipe = Recipe(
        adapter=kind, layer=1, alpha=8.0, learning_rate=0.01, batch_size=3, accumulation=1, steps=3
    ).with_anchor(0.1, rows_per_row=1.0)
    plain = train(chat_model, ROWS, recipe, anchor=ROWS[:1])
    passes = []
    handle = chat_model.model.base_model.layers[2].mlp.register_forward_pre_hook(lambda *_: passes.append(1))
    again = train(
        chat_model, ROWS, recipe.model_copy(update={"gradient_checkpointing": True}), anchor=ROWS[:1]
    )
    handle.remove()
    rows = [chat_model.renderer.render(row) for row in ROWS]
    joined = can_pack(chat_model.model, max(map(len, rows)) - 1)  # then both losses have one pass
    assert len(passes) == (1 if joined else 2) * 2 * 3 + 1  # forward and backward, three steps; the reference
    for name, tensor in plain.adapter.tensors().items():
        assert torch.equal(again.adapter.tensors()[name], tensor)
    assert not any(layer.training for layer in chat_model.model.base_model.layers)
