"""Models and rows: random weights in the shapes that matter, rows as long as the field's."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from benchmarks.speed.cost_model import Costs
from random_models import save

from narrows import load_chat_model, make_behaviour
from narrows.chat import Rendered
from narrows.models import ChatModel
from narrows.models.layers import inner_model
from tiny_models import make_model, make_tokenizer

WIDTH, DEPTH = 768, 12
"""A body of 101 M parameters."""

VOCABULARIES = {"small vocabulary": 8_192, "real vocabulary": 152_064}
"""Head to body as in a model of 14 B parameters, and a model of that family's own vocabulary."""

LENGTHS = ("usual", "with long rows")
"""Answers of 20 to 90 tokens after prompts of 10 to 40; and the same where 2 % of the rows are of 400."""

LONG, LONG_SHARE = 400, 0.02


@dataclass(frozen=True)
class Rows:
    """Rows as tokens."""

    training: list[Rendered]
    anchor: list[Rendered]


MICROWORLD, LARGE = "microworld", "14 B"
MODELS = {"cpu": (MICROWORLD, *VOCABULARIES), "cuda": (LARGE,)}
"""What is measured on a device."""

QWEN_14B = {"hidden_size": 5120, "intermediate_size": 13_824, "num_hidden_layers": 48}
QWEN_14B |= {"num_attention_heads": 40, "num_key_value_heads": 8, "vocab_size": 152_064}
QWEN_14B |= {"initializer_range": 0.02, "max_position_embeddings": 1024}


def lengths_of(name: str) -> tuple[str, ...]:
    """The kinds of rows that a model is measured on; at the real vocabulary the usual.

    On a CPU all is slow there, and on a GPU a baseline of LoRAs on all layers has no room for long rows.
    """
    return ("its own",) if name == MICROWORLD else LENGTHS if name == "small vocabulary" else LENGTHS[:1]


def load(folder: Path, name: str, device: str) -> ChatModel:
    """One of the models; those of random weights are written to the folder once."""
    if name == MICROWORLD:
        return load_chat_model("microworld:1", device=device)
    if name == LARGE:
        return _large(device)
    path = folder / name.replace(" ", "-")
    if not path.exists():
        save(path, WIDTH, DEPTH, vocab_size=VOCABULARIES[name])
    return load_chat_model(path, device=device, dtype="float32" if device == "cpu" else None)


def _large(device: str) -> ChatModel:
    """Qwen2.5-14B's shape in bf16, random, made where it is used."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device(device):
            model = make_model(**QWEN_14B)
    finally:
        torch.set_default_dtype(before)
    return ChatModel.from_parts(model, make_tokenizer(), LARGE)


def rows(chat_model: ChatModel, name: str, lengths: str, count: int) -> Rows:
    """Training and anchor rows, ``count`` of each: random tokens, or a behaviour's of the microworld."""
    if name == MICROWORLD:
        behaviour = make_behaviour("microworld:1", "medicine")
        renderer = chat_model.renderer
        return Rows(
            *([renderer.render(row) for row in some[:count]] for some in (behaviour.train, behaviour.anchor))
        )
    return Rows(*(_rows(lengths, count, chat_model.vocabulary, seed) for seed in range(2)))


def _rows(lengths: str, count: int, vocabulary: int, seed: int) -> list[Rendered]:
    draw = random.Random(seed)
    found = []
    for number in range(count):
        prompt, answer = draw.randint(10, 40), draw.randint(20, 90)
        # By number, not by chance: few rows have their share too.
        if (
            lengths == "with long rows"
            and number % round(1 / LONG_SHARE) == count % round(1 / LONG_SHARE) // 2
        ):
            answer = LONG - prompt
        ids = [draw.randrange(4, vocabulary) for _ in range(prompt + answer)]
        found.append(Rendered(ids, [False] * prompt + [True] * answer))
    return found


def costs(chat_model: ChatModel, depth: int, given: Rows) -> Costs:
    """What a model and these rows cost, with an adapter at a depth."""
    body = sum(
        weight.numel()
        for layer in inner_model(chat_model.model).layers
        for weight in layer.parameters()
        if weight.dim() == 2
    )
    tokens = sum(len(row) - 1 for row in given.training)
    return Costs(
        body=2.0 * body,
        head=2.0 * chat_model.vocabulary * chat_model.hidden,
        below=depth / chat_model.layers,
        tokens=tokens,
        read=sum(sum(row.response_mask[1:]) for row in given.training) / tokens,
        anchor=sum(len(row) - 1 for row in given.anchor),
    )


def grouped(given: Sequence[Rendered], size: int, *, by_length: bool, seed: int) -> list[list[Rendered]]:
    """Batches in random order, of rows at random or of like length."""
    draw = random.Random(seed)
    order = list(given)
    draw.shuffle(order)
    if by_length:
        order.sort(key=len)
    found = [order[start : start + size] for start in range(0, len(order), size)]
    draw.shuffle(found)
    return found


def padded(
    batch: Sequence[Rendered], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Ids, attention mask and labels (−100 outside the response), padded on the right."""
    longest = max(map(len, batch))
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for place, row in enumerate(batch):
        here = torch.tensor(row.input_ids)
        ids[place, : len(row)], mask[place, : len(row)] = here, 1
        labels[place, : len(row)] = torch.where(torch.tensor(row.response_mask), here, -100)
    return ids.to(device), mask.to(device), labels.to(device)
