"""One model on several processes: each holds a share of every decoder layer's weights (FSDP2)."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from torch import Tensor

from narrows.models.devices import own_device
from narrows.models.layers import decoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel


_FIRST_ONLY = "FSDP_CPU_RAM_EFFICIENT_LOADING"


def wants_sharding() -> bool:
    """Whether ``accelerate launch --use_fsdp`` started this process, with others."""
    asked = os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true", "yes")
    return asked and int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def loaded_by_all() -> Iterator[None]:
    """Inside the block transformers reads a checkpoint's weights on every process.

    With Accelerate's memory-saving default it reads them on the first one only and counts on a broadcast by
    Accelerate's own preparation, which is not used here: the others would be left with zeros.
    """
    before = os.environ.get(_FIRST_ONLY)
    os.environ[_FIRST_ONLY] = "false"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_FIRST_ONLY]
        else:
            os.environ[_FIRST_ONLY] = before


def shard(model: "PreTrainedModel") -> None:
    """Share the weights of all decoder layers out among the processes of this launch.

    A layer's weights are gathered while it runs and let go after it. The embedding, the final norm and the
    LM head stay whole on every process, for the losses read the head's weight as data. All processes must
    run the model equally often from here on.

    Args:
        model: with its weights whole, on any device; they end on this process's.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    processes = PartialState(cpu=torch.device(own_device()).type == "cpu")
    device = processes.device
    mesh = init_device_mesh(device.type, (processes.num_processes,))
    layers = decoder_layers(model)
    for layer in layers:
        # Each a root of its own: the model itself is cut into parts, which a root would not survive.
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    shared = {id(module) for layer in layers for module in layer.modules()}
    for module in model.modules():
        if id(module) not in shared:
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(device)
            for name, buffer in module.named_buffers(recurse=False):
                setattr(module, name, buffer.to(device))


def whole(weight: Tensor) -> Tensor:
    """A weight, gathered from all processes if it is shared out among them (all must ask for it)."""
    from torch.distributed.tensor import DTensor

    return weight.full_tensor() if isinstance(weight, DTensor) else weight


def is_sharded(model: "PreTrainedModel") -> bool:
    """Whether :func:`shard` was done to a model."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(decoder_layers(model)[0], FSDPModule)
