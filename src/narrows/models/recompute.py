"""Gradient checkpointing of the layers above a cut: memory for time, in a frozen model in eval mode."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from narrows.models.packing import attending_again
from narrows.models.split import Split

_RECOMPUTED = partial(checkpoint, use_reentrant=False, context_fn=attending_again)


@contextmanager
def recomputed(split: Split) -> Iterator[None]:
    """Inside the block the layers above the cut keep only their inputs, and run again in the backward pass.

    They use transformers' own switch, which asks for training mode; only the layer itself gets it and not
    the modules in it, so that no dropout comes alive.
    """
    with ExitStack() as stack:
        for layer in split.upper_layers:
            stack.enter_context(_switched(layer))
        yield


@contextmanager
def _switched(layer: nn.Module) -> Iterator[None]:
    wanted = {"training": True, "gradient_checkpointing": True, "_gradient_checkpointing_func": _RECOMPUTED}
    before = {name: layer.__dict__[name] for name in wanted if name in layer.__dict__}
    layer.__dict__.update(wanted)
    try:
        yield
    finally:
        for name in wanted:
            del layer.__dict__[name]
        layer.__dict__.update(before)
