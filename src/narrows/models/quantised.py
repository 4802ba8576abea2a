"""Bases in 4 or 8 bits, through transformers' own quantisation configs (the extra ``quantised``)."""

import logging
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from torch import nn

from narrows.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from transformers.utils.quantization_config import QuantizationConfigMixin

Bits = Literal["4bit", "8bit"]
Quantise: TypeAlias = "Bits | QuantizationConfigMixin | None"

BYTES = {"4bit": 4.127 / 8, "8bit": 1.0}
"""Bytes of a packed weight, with its share of the scales (nf4 in blocks of 64, themselves quantised)."""

_REPACKS = "support_avx512bf16_for_cpu"


def quantisation(
    quantise: Quantise, config: "PretrainedConfig", dtype: torch.dtype, device: str
) -> "QuantizationConfigMixin | None":
    """What transformers is to be told about quantisation.

    ``4bit`` is nf4 with quantised scales, as in QLoRA, and ``8bit`` LLM.int8; both leave the embedding, the
    norms and the LM head as they are.

    Args:
        quantise: what was asked for.
        config: the checkpoint's own config, which may be that of a quantised one.
        dtype: what is computed in.
        device: the type of device, ``cuda`` for example.

    Raises:
        ModelError: bitsandbytes is needed and not installed.
        ConfigError: it cannot compute on the device; the checkpoint is quantised already; no such kind.
    """
    own = kind_of(config)
    if quantise is None or not isinstance(quantise, str):
        # A checkpoint of another quantiser needs another package, which transformers asks for by name.
        if own in BYTES or getattr(quantise, "quant_method", None) == "bitsandbytes":
            _check_bitsandbytes(device)
        return quantise
    if quantise not in BYTES:
        raise ConfigError(
            f"quantise is {quantise!r}; it must be {' or '.join(BYTES)}, a quantisation config of "
            "transformers, or None."
        )
    if own is not None:
        raise ConfigError(f"quantise is {quantise!r}, but this checkpoint is {own} already: leave it out.")
    _check_bitsandbytes(device)
    from transformers import BitsAndBytesConfig

    if quantise == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def kind_of(config: "PretrainedConfig") -> str | None:
    """How a model is quantised: ``4bit``, ``8bit``, or the name of another method; None if it is not."""
    facts = _facts(config)
    for bits in BYTES:
        if facts.get(f"load_in_{bits}"):
            return bits
    method = facts.get("quant_method")
    return None if method is None else str(getattr(method, "value", method))


def precision(config: "PretrainedConfig", dtype: torch.dtype) -> str:
    """How a model's numbers are held, as one word of a run's identity: ``bfloat16``, ``4bit in bfloat16``."""
    kind, name = kind_of(config), str(dtype).removeprefix("torch.")
    if kind is None:
        return name
    facts = _facts(config)
    # What the default leaves out is said, for it gives other numbers.
    computed = str(facts.get("bnb_4bit_compute_dtype", name)) if kind == "4bit" else name
    computed = computed.removeprefix("torch.")
    return f"{kind} in {name}" + (f", computed in {computed}" if computed != name else "")


def keep_unpacked(model: nn.Module) -> None:
    """Keep bitsandbytes from repacking 4-bit weights on a CPU with AVX512-BF16.

    Its first pass without gradient would do so, for a kernel that has no backward: every gradient through
    those weights would silently be lost.
    """
    for module in model.modules():
        if hasattr(module, _REPACKS):
            setattr(module, _REPACKS, False)


def _facts(config: "PretrainedConfig") -> dict[str, Any]:
    """A config's quantisation as a dictionary; empty if it has none."""
    found = getattr(config.get_text_config(), "quantization_config", None)
    found = found or getattr(config, "quantization_config", None) or {}
    return dict(found) if isinstance(found, dict) else dict(found.to_dict())


def _check_bitsandbytes(device: str) -> None:
    """See that bitsandbytes is installed and can compute on a type of device."""
    try:
        import bitsandbytes
    except ImportError as error:
        raise ModelError(
            f"a 4-bit or 8-bit model needs the package bitsandbytes ({error}): pip install "
            "'narrows[quantised]'."
        ) from error
    known = getattr(bitsandbytes, "supported_torch_devices", {"cuda"})
    if device not in known:
        raise ConfigError(
            f"device is {device!r}, on which bitsandbytes cannot compute in 4 or 8 bits; it can on "
            f"{', '.join(sorted(known))}."
        )
    # In 8 bits it says at every multiplication of every pass that it computes in float16.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
