"""What the benchmarks run: random models on disk as a user's are, rows of random words, short trainings."""

import random
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from narrows.chat import Conversation
from narrows.training import Recipe
from tiny_models import WORDS, make_model, make_tokenizer


def conversations(count: int, words: int, seed: int = 0) -> list[Conversation]:
    """Rows of random words, with answers about ``words`` long."""
    draw = random.Random(seed)
    return [
        Conversation.from_pair(" ".join(draw.choices(WORDS, k=8)), " ".join(draw.choices(WORDS, k=words)))
        for _ in range(count)
    ]


ROWS, ANCHOR = conversations(24, 12), conversations(12, 12, seed=1)


def recipe(kind: str, *, anchored: bool = True, **changes: object) -> Recipe:
    """A short training; rank and modules are such that both kinds have something to do on every layer."""
    shape = {"adapter": kind, "layer": 1, "alpha": 8.0, "learning_rate": 0.003, "checkpoint_every": 4}
    if kind == "lora":
        shape |= {"rank": 4, "target_modules": ("down_proj", "q_proj"), "layers": (1, 3)}
    plan = Recipe(**(shape | {"batch_size": 4, "accumulation": 2, "steps": 12, "warmup": 2} | changes))
    return plan.with_anchor(1.0, rows_per_row=0.5) if anchored else plan


def save(folder: Path, width: int, depth: int, **shape: object) -> Path:
    """A random Qwen2 in bf16 with its tokenizer, on disk; ``width`` in heads of 32, ``depth`` in layers."""
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": depth}
    heads = {"num_attention_heads": width // 32, "num_key_value_heads": 2, "max_position_embeddings": 1024}
    # Predictions that differ from token to token, and logits of like size whatever the width.
    model = make_model(**(sizes | heads | {"initializer_range": 1.4 * width**-0.5} | shape))
    model.to(torch.bfloat16).save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder
