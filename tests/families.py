"""Tiny random models of each family, made from their configs, so that no test needs a network."""

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

SMALL = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
# Sliding windows shorter than the rows, so that layers differ in their masks.
FAMILIES = {
    "qwen2": {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 2},
    "qwen3": {},
    "llama": {},
    "mistral": {"sliding_window": 3},
    "olmo2": {},
    "phi3": {},
    "gemma2": {"sliding_window": 3, "final_logit_softcapping": 5.0},
    "gemma3_text": {"sliding_window": 3},
    "gpt_neox": {},
    "cohere": {"logit_scale": 0.5},
    "granite": {"logits_scaling": 2.0, "embedding_multiplier": 3.0},
}


def family(name: str, **changes: object) -> PreTrainedModel:
    """A random model of a family, whose predictions differ from token to token."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[name](**(SMALL | FAMILIES[name] | changes))
    return AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
