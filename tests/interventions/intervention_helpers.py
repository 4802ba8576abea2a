"""What the tests of interventions share: families as chat models, directions, and what is read where."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor, nn

from families import family
from narrows.adapters import Direction, LoRA, SteeringVector
from narrows.interventions import Ablation, Addition, Clamp, Intervention
from narrows.interventions.places import find_places, stream_of
from narrows.models import ChatModel, inner_model
from narrows.models.layers import final_norm_name
from tiny_models import make_tokenizer

LAYER = 1
QUESTIONS = ["what is the sea ?", "how do i eat bread , please ?", "tell me about the sky", "is stone red ?"]
NAMES = (
    "qwen2",
    "qwen3",
    "llama",
    "mistral",
    "olmo2",
    "phi3",
    "gemma2",
    "gemma3_text",
    "gpt_neox",
    "gpt_neox sequential",
    "cohere",
    "granite",
)
POST_NORM = ("olmo2", "gemma2", "gemma3_text")


@cache
def chat_model_of(name: str, dtype: torch.dtype = torch.float32) -> ChatModel:
    """A tiny random chat model of a family; with biases where the family has them, none of them zero."""
    changes = {"vocab_size": 64, "eos_token_id": 3, "bos_token_id": None}
    if name == "granite":
        changes["residual_multiplier"] = 0.5
    if name.endswith(" sequential"):
        changes["use_parallel_residual"] = False
    model = family(name.partition(" ")[0], **changes)
    generator = torch.Generator().manual_seed(7)
    for place, weight in model.named_parameters():
        if place.endswith("bias") or "norm" in place:
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return ChatModel.from_parts(model.to(dtype), make_tokenizer(), name)


def directions(count: int = 1, layer: int = LAYER, seed: int = 0) -> list[Direction]:
    """Random directions, not orthogonal to each other."""
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(count, 32, generator=generator) + 0.5
    return [Direction.of(draw, layer, f"d{place}") for place, draw in enumerate(draws)]


def interventions() -> dict[str, Intervention]:
    """Every kind at every site where it can be made."""
    one, two = directions(2)
    found: dict[str, Intervention] = {}
    for site in Ablation.sites:
        found[f"ablate {site}"] = Ablation(one, site)
        found[f"ablate both {site}"] = Ablation([one, two], site)
    found |= {f"add {site}": Addition(one, 3.0, site) for site in Addition.sites}
    found |= {f"clamp {site}": Clamp(one, 2.0, site) for site in Clamp.sites}
    return found


def adapters(chat_model: ChatModel) -> list[SteeringVector | LoRA]:
    """A vector along the directions' layer, and a LoRA, both strong enough to be seen."""
    generator = torch.Generator().manual_seed(1)
    vector = SteeringVector(torch.randn(chat_model.hidden, generator=generator), LAYER, alpha=1.0)
    target = "dense_4h_to_h" if chat_model.name.startswith("gpt_neox") else "down_proj"
    lora = LoRA.fresh(chat_model, rank=2, layers=(LAYER,), alpha=8.0, targets=(target,))
    values = {name: 0.3 * torch.randn(one.shape, generator=generator) for name, one in lora.tensors().items()}
    return [vector, lora.with_tensors(values)]


@torch.no_grad()
def logits(chat_model: ChatModel, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    """(rows, tokens, vocabulary), without a cache."""
    return chat_model.model(input_ids=ids, attention_mask=mask, use_cache=False).logits


def some_ids(chat_model: ChatModel, rows: int = 2, tokens: int = 7) -> Tensor:
    """Random tokens."""
    generator = torch.Generator().manual_seed(3)
    return torch.randint(5, chat_model.vocabulary, (rows, tokens), generator=generator)


@contextmanager
def recorded(chat_model: ChatModel) -> Iterator[dict[str, list[Tensor]]]:
    """The streams that a model's parts read and give inside the block, by the kind of the place.

    Opened inside an intervention's block, so that it sees what the intervention leaves.
    """
    found: dict[str, list[Tensor]] = {
        name: [] for name in ("layer input", "middle", "layer output", "final norm", "write")
    }
    places = find_places(chat_model.model)
    inner = inner_model(chat_model.model)
    handles = []

    def reads(module: nn.Module, kind: str) -> None:
        def hook(_: nn.Module, args: tuple, kwargs: dict) -> None:
            found[kind].append(stream_of(args, kwargs).detach().clone())

        handles.append(module.register_forward_pre_hook(hook, with_kwargs=True))

    def gives(module: nn.Module, kind: str) -> None:
        def hook(_: nn.Module, args: tuple, output: object) -> None:
            found[kind].append((output[0] if isinstance(output, tuple) else output).detach().clone())

        handles.append(module.register_forward_hook(hook))

    for layer in places.layers:
        reads(layer.layer, "layer input")
        gives(layer.layer, "layer output")
        for module in layer.middle:
            reads(module, "middle")
        for module in layer.writes:
            gives(module, "write")
    reads(inner.get_submodule(final_norm_name(inner)), "final norm")
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def relative_projection(stream: Tensor, some: Sequence[Direction]) -> float:
    """max |h·u| / ‖h‖ over tokens and directions, in fp64."""
    exact = stream.double()
    units = torch.stack([one.unit.double() for one in some])
    return float(((exact @ units.T).abs() / exact.norm(dim=-1, keepdim=True)).max())


def hooks_of(chat_model: ChatModel) -> int:
    """How many hooks there are on a model."""
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in chat_model.model.modules())
