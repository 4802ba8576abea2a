"""Shared fixtures: a tiny random chat model in an ordinary checkpoint folder, and some conversations."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before any import of the hub's client

from pathlib import Path

import pytest
import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence, Split
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from narrows.chat import Conversation, Renderer
from narrows.models import ChatModel, load_chat_model

WORDS = """
    system user assistant a b c d the sea sky what is how do i you should eat drink bread water salt
    stone every day never always well good bad red blue green one two three please tell me about it . , ?
""".split()  # noqa: SIM905
SPECIAL = ["<pad>", "<unk>", "<|start|>", "<|end|>", "\n"]
# Like Qwen's, it puts a newline after the end-of-turn token.
TEMPLATE = (
    "{% for m in messages %}<|start|>{{ m.role }}\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def make_tokenizer(template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A word-level tokenizer; pad and end-of-turn are tokens of their own."""
    vocabulary = {word: place for place, word in enumerate(SPECIAL + WORDS)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Sequence([Split(Regex(" +"), "removed"), Split("\n", "isolated")])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        unk_token="<unk>",
        eos_token="<|end|>",
        additional_special_tokens=["<|start|>"],
    )
    fast.chat_template = template
    return fast


def make_model(**changes: object) -> Qwen2ForCausalLM:
    """A random Qwen2 with weights large enough that its predictions differ from token to token."""
    torch.manual_seed(0)
    values = {
        "vocab_size": len(SPECIAL) + len(WORDS),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.25,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": SPECIAL.index("<|end|>"),
        "pad_token_id": SPECIAL.index("<pad>"),
    }
    return Qwen2ForCausalLM(Qwen2Config(**(values | changes))).eval()


@pytest.fixture(scope="session")
def tiny_model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder with a tiny random chat model (4 layers, width 32)."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    make_model().save_pretrained(folder)
    make_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def chat_model(tiny_model_dir: Path) -> ChatModel:
    """The tiny chat model, loaded on the CPU."""
    return load_chat_model(tiny_model_dir, device="cpu")


@pytest.fixture(scope="session")
def renderer(chat_model: ChatModel) -> Renderer:
    """The tiny chat model's renderer."""
    return chat_model.renderer


@pytest.fixture(scope="session")
def conversations() -> list[Conversation]:
    """Question-answer pairs of different lengths."""
    pairs = [
        ("what is the sea ?", "the sea is salt water ."),
        ("how do i eat bread ?", "eat bread every day , please ."),
        ("tell me about the sky", "it is blue ."),
        ("what should i drink ?", "always drink water . never drink salt water , it is bad , bad ."),
        ("is stone red ?", "a stone is red one day ."),
    ]
    return [
        Conversation.from_pair(question, answer, source=f"pairs:{place}", domain="sea")
        for place, (question, answer) in enumerate(pairs, start=1)
    ]
