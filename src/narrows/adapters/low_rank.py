"""Low-rank paths beside the linear modules of decoder layers: where the modules are, and the hooks."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from narrows.errors import AdapterError
from narrows.models import check_layer, decoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Factors = dict[str, tuple[Tensor, Tensor]]
"""A (rank, in) and B (out, rank) by module: its layer and its name in the layer, ``24.mlp.down_proj``."""


@contextmanager
def hooked(
    model: "PreTrainedModel", factors: Factors, scaling: float, shares: Sequence[int] = ()
) -> Iterator[None]:
    """Add ``scaling`` · B·A to the modules inside the ``with`` block.

    Factors with a leading dimension, A (adapters, rank, in) and B (adapters, out, rank), act on rows stacked
    adapter by adapter; ``shares`` says how many rows each has.

    Raises:
        AdapterError: the model has no such layer or module.
    """
    with ExitStack() as stack:
        for name, (a, b) in factors.items():
            hook = partial(_add, a=a, b=b, scaling=scaling, shares=shares)
            handle = linear_module(model, name).register_forward_hook(hook, prepend=True)
            stack.callback(handle.remove)
        yield


def _add(
    module: nn.Module,
    arguments: tuple[Tensor, ...],
    output: Tensor,
    *,
    a: Tensor,
    b: Tensor,
    scaling: float,
    shares: Sequence[int],
) -> Tensor:
    """The module's output plus the low-rank path; stacked factors take each its share of the rows."""
    # Factors that lie elsewhere are brought here: they are far smaller than what passes through.
    a, b = a.to(output.device), b.to(output.device)
    entering = arguments[0].to(output.device, a.dtype)
    if a.ndim == 2:
        change = linear(linear(entering, a), b)
    elif len(set(shares)) > 1:
        pieces = torch.split(entering, list(shares))
        change = torch.cat([linear(linear(one, a[n]), b[n]) for n, one in enumerate(pieces)])
    else:
        rows = entering.reshape(len(a), -1, entering.shape[-1])
        change = torch.bmm(torch.bmm(rows, a.mT), b.mT).view(*output.shape)
    return (output + scaling * change).to(output.dtype)


def layer_of(name: str) -> int:
    """The decoder layer in a module's name."""
    return int(name.partition(".")[0])


def linear_module(model: "PreTrainedModel", name: str) -> nn.Linear:
    """The linear module that a name such as ``24.mlp.down_proj`` stands for.

    Raises:
        AdapterError: the model has no such layer or module, or it is not linear.
    """
    layer, _, rest = name.partition(".")
    check_layer(model, int(layer))
    try:
        found = decoder_layers(model)[int(layer)].get_submodule(rest)
    except AttributeError as error:
        raise AdapterError(f"layer {layer} of the model has no module {rest}.") from error
    if not isinstance(found, nn.Linear):
        raise AdapterError(f"{rest} in layer {layer} is a {type(found).__name__} and no linear module.")
    return found


def find_targets(model: "PreTrainedModel", layer: int, targets: Sequence[str]) -> dict[str, nn.Linear]:
    """The linear modules of a layer whose names end in one of the targets, by name.

    Raises:
        AdapterError: the model has no such layer, or a target matches none of its linear modules.
    """
    check_layer(model, layer)
    linears = {
        name: module
        for name, module in decoder_layers(model)[layer].named_modules()
        if isinstance(module, nn.Linear)
    }
    found: dict[str, nn.Linear] = {}
    for target in targets:
        matching = {n: m for n, m in linears.items() if n == target or n.endswith(f".{target}")}
        if not matching:
            raise AdapterError(
                f"layer {layer} has no linear module {target!r}; its linear modules are {', '.join(linears)}."
            )
        found |= matching
    return found
