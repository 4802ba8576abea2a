"""PEFT adapter folders: LoRAs both ways, and steering vectors as a bias where that is exact."""

import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as serialise
from torch import Tensor

from narrows.adapters import files
from narrows.adapters.lora import LoRA
from narrows.adapters.low_rank import Factors, linear_module
from narrows.adapters.steering import SteeringVector
from narrows.chat import Conversation
from narrows.errors import AdapterError
from narrows.files import atomic_path, write_json
from narrows.models import ChatModel, decoder_layers
from narrows.strict import one_line, read_object

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

_FACTOR = re.compile(r"(?:^|\.)layers\.(\d+)\.(.+)\.lora_([AB])\.weight$")
_PLAIN = {
    "use_dora": False,
    "lora_bias": False,
    "bias": "none",
    "fan_in_fan_out": False,
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
}
"""Settings whose other values a LoRA here cannot have."""


def read_peft(folder: Path | str) -> LoRA:
    """Read a LoRA that PEFT saved.

    Raises:
        AdapterError: a file is missing or damaged, it is no LoRA, or a LoRA with something that cannot be
            had here (DoRA, a bias, ranks that differ, …); names it.
    """
    folder = Path(folder)
    config = read_object(folder / CONFIG, AdapterError, f"{folder} is no whole PEFT folder: copy it again.")
    if config.get("peft_type") != "LORA":
        raise AdapterError(
            f"{folder / CONFIG} is of type {one_line(repr(config.get('peft_type')))}; only LORA can be read."
        )
    for name, plain in _PLAIN.items():
        if config.get(name, plain) not in (plain, None):
            raise AdapterError(
                f"{folder / CONFIG} sets {name} to {one_line(repr(config[name]))}, which is not supported."
            )
    try:
        alpha = float(config.get("lora_alpha", 8))
    except (TypeError, ValueError, OverflowError) as error:
        raise AdapterError(f"{folder / CONFIG}: lora_alpha is no number ({one_line(error)}).") from error
    try:
        data = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise AdapterError(
            f"{folder / WEIGHTS} is missing or cannot be read ({error.strerror or error})."
        ) from error
    tensors = files.parsed(folder / WEIGHTS, data)
    with files.naming(folder / WEIGHTS):
        factors = _factors(tensors)
        return files.usable(LoRA(factors, alpha, bool(config.get("use_rslora", False))))


def _factors(tensors: dict[str, Tensor]) -> Factors:
    """A and B of each module."""
    halves: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        found = _FACTOR.search(name)
        if not found:
            raise AdapterError(f"{one_line(repr(name))} is no factor of a decoder layer's module.")
        halves.setdefault(f"{found[1]}.{found[2]}", {})[found[3]] = tensor
    factors: Factors = {}
    for name in sorted(halves, key=lambda key: (int(key.partition(".")[0]), key)):
        if halves[name].keys() != {"A", "B"}:
            raise AdapterError(f"{one_line(name)} has only one of its two factors.")
        factors[name] = (halves[name]["A"], halves[name]["B"])
    return factors


def write_peft(adapter: LoRA | SteeringVector, folder: Path | str, chat_model: ChatModel) -> Path:
    """Write an adapter as a PEFT folder that loads without narrows.

    A steering vector becomes the bias of a rank-1 LoRA, zero otherwise, on its layer's ``mlp.down_proj``:
    where a layer adds what that module gives to the stream (Llama, Qwen, Mistral), this is the vector itself.

    Args:
        adapter: what to write.
        folder: a new folder.
        chat_model: the model it is for.

    Raises:
        AdapterError: it does not fit the model, or the family normalises after ``down_proj`` (Gemma, OLMo-2),
            so that no bias is the vector.
        RunFolderError: the folder cannot be written.
    """
    adapter.check(chat_model.model)
    prefix = next(
        name
        for name, module in chat_model.model.named_modules()
        if module is decoder_layers(chat_model.model)
    )
    if isinstance(adapter, LoRA):
        tensors = {
            f"base_model.model.{prefix}.{name}.weight": tensor for name, tensor in adapter.tensors().items()
        }
        targets = [f"{prefix}.{name}" for name in adapter.factors]
        settings: dict[str, Any] = {
            "r": adapter.rank,
            "lora_alpha": adapter.alpha,
            "use_rslora": adapter.rslora,
            "lora_bias": False,
        }
    else:
        _check_exact(adapter, chat_model)
        target = f"{prefix}.{adapter.layer}.mlp.down_proj"
        module = linear_module(chat_model.model, f"{adapter.layer}.mlp.down_proj")
        place = f"base_model.model.{target}"
        tensors = {
            f"{place}.lora_A.weight": torch.zeros(1, module.in_features),
            f"{place}.lora_B.weight": torch.zeros(module.out_features, 1),
            f"{place}.lora_B.bias": adapter.effective,
        }
        targets = [target]
        settings = {"r": 1, "lora_alpha": 1, "use_rslora": False, "lora_bias": True}
    folder = Path(folder)
    data = serialise({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()})
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / WEIGHTS) as temporary:
        temporary.write_bytes(data)
    write_json(
        folder / CONFIG,
        {
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": chat_model.name,
            "target_modules": targets,
            "lora_dropout": 0.0,
            "bias": "none",
            "inference_mode": True,
            **settings,
        },
    )
    return folder


@torch.no_grad()
def _check_exact(vector: SteeringVector, chat_model: ChatModel) -> None:
    """See on a short prompt that the vector is a bias of down_proj."""
    module = linear_module(chat_model.model, f"{vector.layer}.mlp.down_proj")
    tokens = torch.tensor([chat_model.renderer.prompt(Conversation.from_pair("Hello").messages)])
    tokens = tokens.to(chat_model.device)
    with vector.attach(chat_model):
        wanted = chat_model.model(input_ids=tokens, use_cache=False).logits
    bias = vector.effective
    handle = module.register_forward_hook(lambda _, __, out: out + bias.to(out.device, out.dtype))
    try:
        found = chat_model.model(input_ids=tokens, use_cache=False).logits
    finally:
        handle.remove()
    gap = float((found - wanted).abs().max())
    allowed = max(16 * torch.finfo(found.dtype).eps, 1e-5) * max(1.0, float(wanted.abs().max()))
    if not gap <= allowed:
        raise AdapterError(
            f"in {type(chat_model.model).__name__} a bias of mlp.down_proj is not a steering vector (logits "
            f"differ by {gap:.3g}): something follows it before the stream. Use safetensors or GGUF."
        )
