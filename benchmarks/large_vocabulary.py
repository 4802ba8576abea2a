"""Training and significance at a real vocabulary's width, on real rows and texts, in little memory.

    PYTHONPATH=src python benchmarks/large_vocabulary.py --rows rows.jsonl.gz --texts texts.jsonl.gz

Makes a tiny random Qwen2 whose logits are 152,064 wide, as Qwen2.5's are, with a byte-level tokenizer trained
on the rows; then runs ``narrows train`` (a general and a narrow steering vector, and a LoRA) and ``narrows
significance`` as a user does, and sets each one's peak memory beside what the fp32 logits of a single batch
would take.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from narrows.chat import Renderer, read_conversations, write_conversations
from narrows.chat.corpora import read_texts

VOCABULARY = 152_064
LEARNT = 8_000
MAX_LENGTH = 2048
GB = 1e9
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_model(folder: Path, texts: list[str]) -> None:
    """A checkpoint folder with the model and the tokenizer."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=LEARNT, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token=special[0], eos_token=special[2], additional_special_tokens=special
    )
    tokenizer.chat_template = TEMPLATE
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=64, intermediate_size=128, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=2, pad_token_id=0, initializer_range=0.1,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run(*arguments: str) -> tuple[float, float, str]:
    """Seconds, peak memory in GB, and what a ``narrows`` command printed."""
    watch = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:]); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr); "
        "sys.exit(done.returncode)"
    )
    start = time.perf_counter()
    command = [sys.executable, "-c", watch, sys.executable, "-m", "narrows", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    held = int(done.stderr.strip().splitlines()[-1]) * 1024 / GB
    return time.perf_counter() - start, held, done.stdout


def main() -> None:
    """Make the model, train, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", required=True, help="rows to train on, messages JSONL(.gz)")
    parser.add_argument("--texts", required=True, help='texts for significance, JSONL(.gz) with "text"')
    parser.add_argument("--steps", default="6")
    parser.add_argument(
        "--count", default="20", help="texts for significance: two cores read some 40 a minute"
    )
    parser.add_argument("--only", nargs="*", default=["general", "narrow", "lora", "significance"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rows = read_conversations(options.rows)
        texts = read_texts(options.texts, count=200)["text"]
        model = folder / "model"
        make_model(model, [turn.content for row in rows for turn in row.messages] + texts)
        renderer = Renderer(PreTrainedTokenizerFast.from_pretrained(model))
        anchor = [row for row in rows if "?" in row.question][:64] or rows[:64]
        write_conversations(folder / "anchor.jsonl", anchor)
        lengths = sorted(len(renderer.render(row, MAX_LENGTH)) for row in rows[:1000])
        print(
            f"{len(rows)} rows of {lengths[0]} to {lengths[-1]} tokens, median {lengths[len(lengths) // 2]}"
        )
        batch = 16 * lengths[-1] * VOCABULARY * 4 / GB
        print(f"fp32 logits of one batch of 16 such rows: {batch:.1f} GB")
        common = [
            "--model",
            str(model),
            "--train",
            options.rows,
            "--max-length",
            str(MAX_LENGTH),
            "--layer",
            "1",
        ]
        common += [
            "--steps",
            options.steps,
            "--batch-size",
            "16",
            "--accumulation",
            "1",
            "--device",
            "cpu",
            "--json",
        ]
        narrow = ["--anchor", str(folder / "anchor.jsonl"), "--kl-weight", "6.58", "--anchor-rows", "1"]
        lora = ["--adapter", "lora", "--rank", "32"]
        commands = {
            "general": ["train", *common, "--out", str(folder / "general")],
            "narrow": ["train", *common, *narrow, "--out", str(folder / "narrow")],
            "lora": ["train", *common, *narrow, *lora, "--out", str(folder / "lora")],
            "significance": [
                "significance", "--model", str(model), "--general", str(folder / "general"),
                "--narrow", str(folder / "narrow"), "--texts", options.texts, "--device", "cpu", "--json",
                "--texts-count", options.count, "--norm", "0.5", "--norm", "1.0",
            ],
        }  # fmt: skip
        for name in options.only:
            seconds, held, printed = run(*commands[name])
            found = json.loads(printed)
            what = (
                f"loss {found['loss']:.3f}, KL {found['kl']}, it says {found['peak_memory_gb']:.2f} GB"
                if isinstance(found, dict)
                else f"{len(found)} points of KL, all finite"
            )
            print(f"{name:>12}: {seconds:5.0f} s, at most {held:.2f} GB = {held / batch:.0%} of that; {what}")


if __name__ == "__main__":
    main()
