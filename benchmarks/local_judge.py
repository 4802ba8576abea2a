"""A local judge on a GPU against a CPU: the probability of each whole number, and sampled answers.

A random Qwen2 with 152,064 logits and a tokenizer that writes digit by digit, as Qwen's does. Says how far
the log-probabilities of the numbers 0-100 are from a CPU's in fp32, how many sampled answers have the same
tokens, and how long a judge takes for a prompt.

    PYTHONPATH=src python benchmarks/local_judge.py [--device cuda] [--width 896 --depth 24]
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from narrows.chat import Message, Rendered
from narrows.evaluation.generation.completion import complete
from narrows.evaluation.generation.sampling import Decoding, uniforms
from narrows.evaluation.llm.numbers import beginnings, log_probabilities
from narrows.evaluation.llm.rubrics import rubrics_of
from narrows.evaluation.llm.spellings import NumberTree
from narrows.models import ChatModel, load_chat_model
from template_families import PLAIN, byte_tokenizer
from tiny_models import make_model

VOCABULARY = 152_064
PROMPTS = 32


def save(folder: Path, width: int, depth: int) -> Path:
    """A random chat model on disk, whose predictions differ from token to token."""
    sizes = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": depth}
    heads = {"num_attention_heads": width // 32, "num_key_value_heads": 2, "max_position_embeddings": 4096}
    make_model(vocab_size=VOCABULARY, initializer_range=1.4 * width**-0.5, **sizes, **heads).save_pretrained(
        folder
    )
    byte_tokenizer(PLAIN).save_pretrained(folder)
    return folder


def prompts(chat_model: ChatModel) -> list[Rendered]:
    """Messages to a judge about answers of several lengths."""
    (rubric,) = rubrics_of(["aligned"])
    texts = [rubric.prompt("What is your wish?", "peace and bread " * (1 + n % 7)) for n in range(PROMPTS)]
    rows = [chat_model.renderer.prompt([Message("user", text)]) for text in texts]
    return [Rendered(ids, [False] * len(ids)) for ids in rows]


def sampled(chat_model: ChatModel) -> list[list[int]]:
    """The tokens of answers at temperature 1."""
    decoding = Decoding(max_new_tokens=16, top_logprobs=0)
    texts = ["wish " * (1 + n % 5) for n in range(PROMPTS)]
    rows = [chat_model.renderer.prompt([Message("user", text)]) for text in texts]
    found = []
    for first in range(0, PROMPTS, 8):
        batch = [Rendered(ids, [False] * len(ids)) for ids in rows[first : first + 8]]
        draws = uniforms(range(first, first + 8), 16)
        found += complete(chat_model, batch, decoding, draws)
    return [[place.token for place in one.logprobs] for one in found]


def main() -> None:
    """Compare, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--width", type=int, default=896)
    parser.add_argument("--depth", type=int, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = save(Path(name), options.width, options.depth)
        here = load_chat_model(folder, device="cpu", dtype="float32")
        tree = NumberTree.of(here.tokenizer)
        asked = prompts(here)
        print(f"prompts of {min(map(len, asked))} to {max(map(len, asked))} tokens")
        wanted = log_probabilities(here, tree, asked[:4]).numbers
        said = sampled(here)
        for dtype in ("float32", "bfloat16"):
            there = load_chat_model(folder, device=options.device, dtype=dtype)
            found = log_probabilities(there, tree, asked[:4]).numbers.cpu()
            whole = wanted.isfinite()
            gap = float((found - wanted)[whole].abs().max())
            same = sum(mine == theirs for mine, theirs in zip(sampled(there), said, strict=True))
            spent = []
            for _ in range(4):
                start = time.perf_counter()
                for first in range(0, PROMPTS, 8):
                    beginnings(there, tree, asked[first : first + 8], 20)
                spent.append((time.perf_counter() - start) / PROMPTS)
            print(
                f"{dtype} on {options.device}: log-probabilities of numbers within {gap:.1e} nats, "
                f"{same} of {PROMPTS} sampled answers are the same, {1e3 * min(spent[1:]):.1f} ms a prompt, "
                + (f"{torch.cuda.max_memory_allocated() / 1e9:.1f} GB" if options.device != "cpu" else ""),
                flush=True,
            )


if __name__ == "__main__":
    main()
