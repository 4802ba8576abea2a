"""A tiny random chat model and its tokenizer, made here so that no test needs a network."""

import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Sequence, Split
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

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
