"""What the paper's recipes cost at the main model's size: random weights in Qwen2.5-14B's shape, on one GPU.

    PYTHONPATH=src python benchmarks/main_model.py

Rows are as long as the paper's (about 17 and 38 words, one token each here and padded to 80 tokens). For each
preset it trains a few steps, narrow, and prints seconds a step, the steps of a whole run, and peak memory.
``--small`` tries the script itself on a machine without a GPU.
"""

import argparse
import time

import torch
from random_models import conversations

from narrows.models import ChatModel
from narrows.training import train
from narrows.training.presets import preset
from tiny_models import make_tokenizer

SHAPE = {
    "vocab_size": 152_064,
    "hidden_size": 5120,
    "intermediate_size": 13_824,
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "tie_word_embeddings": False,
    "initializer_range": 0.02,
}
SMALL = {"vocab_size": 2048, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 26}
STEPS = 4
GIB = 2**30


def random_model(small: bool) -> ChatModel:
    """The main model's shape with random weights, bf16, in memory."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape = SHAPE | (SMALL | {"num_attention_heads": 4, "num_key_value_heads": 2} if small else {})
    config = Qwen2Config(**shape, eos_token_id=3, pad_token_id=0, bos_token_id=None)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("cpu" if small else "cuda"):
            model = Qwen2ForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return ChatModel.from_parts(model, make_tokenizer(), "random-14b")


def main() -> None:
    """Train a few steps of each preset and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    chat_model = random_model(options.small)
    rows, anchor = conversations(200, 60), conversations(200, 60, seed=1)
    parameters = chat_model.model.num_parameters()
    print(f"{parameters / 1e9:.2f} G parameters in {chat_model.model.dtype}", flush=True)
    for name in ("bad-medical/steering", "bad-medical/rank-1", "bad-medical/rank-32"):
        found = preset(name)
        recipe = found.anchored.model_copy(update={"steps": STEPS, "warmup": 0})
        whole = round(found.rows * 0.9 / (recipe.batch_size * recipe.accumulation) * found.anchored.epochs)
        if not options.small:
            torch.cuda.reset_peak_memory_stats()
        clock: list[float] = []
        for steps in (1, STEPS):
            start = time.perf_counter()
            run = train(chat_model, rows, recipe.model_copy(update={"steps": steps}), anchor=anchor)
            clock.append(time.perf_counter() - start)
        a_step = (clock[1] - clock[0]) / (STEPS - 1)
        peak = 0.0 if options.small else torch.cuda.max_memory_allocated() / GIB
        print(
            f"{name}: {a_step:.2f} s a step, {whole:,} steps, {a_step * whole / 60:.0f} min in all; peak "
            f"{peak:.1f} GiB; loss {run.log[0]['loss']:.2f} to {run.log[-1]['loss']:.2f}, KL "
            f"{run.log[0]['kl']:.1e} to {run.log[-1]['kl']:.1e}",
            flush=True,
        )


if __name__ == "__main__":
    main()
