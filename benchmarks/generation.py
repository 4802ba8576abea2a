"""Our generation beside a bare ``model.generate`` of the same batches, in one run, turn by turn.

A random Qwen2 of about 100 million parameters with 49,152 tokens, 64 new tokens for every row, at temperature
1, steered and not. Prints the median of the ratios of neighbouring timings, ours over bare (1.10 is 10 %
slower), with their least and greatest.

    python benchmarks/generation.py [--rows 16] [--turns 5] [--batch 8] [--device cuda --large]

``--large`` has the shape of a 0.5 B model with 152,064 tokens.
"""

import argparse
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from random_models import conversations, questions, save
from transformers import GenerationConfig

from narrows.adapters import SteeringVector
from narrows.chat import Rendered, collate, length_order
from narrows.evaluation import Question, generate_answers, generation
from narrows.evaluation.generation.completion import complete
from narrows.models import ChatModel, load_chat_model

NEW_TOKENS = 64
CLOCKS = {"wall clock": time.perf_counter, "processor time": time.process_time}
"""On a machine that others use too, only the processor time says something."""

MODEL = {"width": 512, "depth": 12, "vocab_size": 49_152}
LARGE = {"width": 896, "depth": 24, "vocab_size": 152_064}


def ours(chat_model: ChatModel, asked: list[Question], vector: SteeringVector | None, size: int) -> int:
    """Answers by ``generate_answers``; returns the tokens that were generated."""
    tokens = 0

    def counted(*arguments: object) -> object:
        nonlocal tokens
        made = complete(*arguments)  # type: ignore[arg-type]
        tokens += sum(one.tokens for one in made)
        return made

    with mock.patch.object(generation, "complete", counted):
        generate_answers(chat_model, asked, adapter=vector, max_new_tokens=NEW_TOKENS, batch_size=size)
    return tokens


def bare(chat_model: ChatModel, asked: list[Question], vector: SteeringVector | None, size: int) -> int:
    """The same batches by the model's own sampling, decoded alike."""
    prompts = [chat_model.renderer.prompt(one.messages()) for one in asked]
    rows = [Rendered(ids, [False] * len(ids)) for ids in prompts]
    order, tokens = length_order(rows), 0
    config = GenerationConfig(
        **{"max_new_tokens": NEW_TOKENS, "min_new_tokens": NEW_TOKENS, "pad_token_id": chat_model.pad_id},
        **{"eos_token_id": list(chat_model.renderer.stop_token_ids), "do_sample": True},
        **{"temperature": 1.0, "top_k": 0, "top_p": 1.0},
    )
    with vector.attach(chat_model.model) if vector else nullcontext():
        for start in range(0, len(order), size):
            some = [rows[place] for place in order[start : start + size]]
            batch = collate(some, chat_model.pad_id, side="left").to(chat_model.device)
            made = chat_model.model.generate(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, generation_config=config
            )[:, batch.input_ids.shape[1] :]
            chat_model.tokenizer.batch_decode(made, skip_special_tokens=True)
            tokens += made.numel()
    return tokens


def main() -> None:
    """Time both, turn by turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--large", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        chat_model = load_chat_model(
            save(Path(folder), **(LARGE if options.large else MODEL)), device=options.device
        )
    size = sum(weight.numel() for weight in chat_model.model.parameters())
    print(
        f"{size / 1e6:.0f} M parameters, {chat_model.vocabulary:,} tokens, {chat_model.device}, "
        f"{torch.get_num_threads()} threads, batches of {options.batch}"
    )
    asked = questions(conversations(options.rows, 4))
    vector = SteeringVector(torch.randn(chat_model.hidden) * 0.01, layer=6, alpha=8.0)
    for name, steering in (("plain", None), ("steered", vector)):
        ratios: dict[str, list[float]] = {clock: [] for clock in CLOCKS}
        for turn in range(options.turns + 1):
            spent = {}
            for way in (ours, bare) if turn % 2 else (bare, ours):
                began = [clock() for clock in CLOCKS.values()]
                tokens = way(chat_model, asked, steering, options.batch)
                spent[way] = [
                    (clock() - start) / tokens for clock, start in zip(CLOCKS.values(), began, strict=True)
                ]
            if turn:  # the first turn warms up
                for place, clock in enumerate(CLOCKS):
                    ratios[clock].append(spent[ours][place] / spent[bare][place])
        for clock, found in ratios.items():
            print(
                f"{name}, {clock}: ours / bare {statistics.median(found):.3f} "
                f"({min(found):.3f} to {max(found):.3f}, {options.turns} turns)",
                flush=True,
            )


if __name__ == "__main__":
    main()
