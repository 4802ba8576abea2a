"""Tokenizers that write numbers in each of the ways there are, and a judge that says what it is told to."""

import math
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from narrows.microworld.tokenizer import build_tokenizer
from template_families import PLAIN, byte_tokenizer
from tiny_models import SPECIAL, make_model

LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())


def _fast(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<|end|>",
        unk_token="<unk>",
        additional_special_tokens=["<|start|>"],
    )
    fast.chat_template = PLAIN
    return fast


def whole_tokenizer() -> PreTrainedTokenizerFast:
    """As GPT-4o's: each number is a token."""
    words = [*SPECIAL, *map(str, range(101)), "user", "assistant", "how", "good"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "removed"), pre_tokenizers.Split("\n", "isolated")]
    )
    return _fast(tokenizer)


def mixed_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and a few pairs of digits that are one token."""
    pairs = ["10", "85", "90"]
    vocabulary = {letter: i for i, letter in enumerate([*LETTERS, *pairs])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [(pair[0], pair[1]) for pair in pairs]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _fast(tokenizer)


def marked_tokenizer() -> PreTrainedTokenizerFast:
    """As Llama 2's: digits, and a mark for the space before a text's first word."""
    pieces = [*SPECIAL, "▁", *"0123456789", *"abcdefghijklmnopqrstuvwxyz?."]
    tokenizer = Tokenizer(models.BPE({one: i for i, one in enumerate(pieces)}, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="first")
    return _fast(tokenizer)


TOKENIZERS = {
    "bytes": lambda: byte_tokenizer(PLAIN),
    "the microworld's": build_tokenizer,
    "whole numbers": whole_tokenizer,
    "bytes and some pairs": mixed_tokenizer,
    "a mark for space": marked_tokenizer,
}


def save_judge(folder: Path, tokenizer: PreTrainedTokenizerBase, says: dict[str, dict[str, float]]) -> Path:
    """A checkpoint whose next token depends on the last one only, with given probabilities.

    Layers add nothing and every token is embedded in a direction of its own, so that the head is a table.

    Args:
        folder: where it is written.
        tokenizer: its tokenizer.
        says: by last token, the probabilities of the next; after any other token they are all alike.
    """
    size = len(tokenizer)
    width = -(-size // 16) * 16
    model = make_model(
        vocab_size=size, hidden_size=width, num_hidden_layers=2, max_position_embeddings=4096, eos_token_id=0
    )
    model.config.eos_token_id = model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    table = torch.zeros(size, size)
    for last, following in says.items():
        table[_token(tokenizer, last)] = -30.0
        for token, probability in following.items():
            table[_token(tokenizer, last), _token(tokenizer, token)] = math.log(probability)
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(100 * torch.eye(size, width))  # large beside the norm's epsilon
        model.lm_head.weight.zero_()
        model.lm_head.weight[:, :size] = table.T / math.sqrt(width)  # the norm makes each direction that long
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _token(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    (token,) = tokenizer(text, add_special_tokens=False)["input_ids"]
    return int(token)
