"""One model on several processes: each holds a share of every decoder layer's weights (FSDP2)."""

import os
from typing import TYPE_CHECKING

from accelerate import PartialState

from narrows.models.layers import decoder_layers

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from narrows.models.chat_model import ChatModel


def wants_sharding() -> bool:
    """Whether ``accelerate launch --use_fsdp`` started this process, with others."""
    asked = os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("1", "true", "yes")
    return asked and int(os.environ.get("WORLD_SIZE", "1")) > 1


def shard(chat_model: "ChatModel") -> None:
    """Share the weights of all decoder layers out among the processes of this launch.

    A layer's weights are gathered while it runs and let go after it. The embedding, the final norm and the
    LM head stay whole on every process, for the losses read the head's weight as data. All processes must
    run the model equally often from here on.

    Args:
        chat_model: with its weights whole, on any device; they end on this process's.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    chat_model.id  # noqa: B018  (of the whole weights, and kept)
    device = PartialState().device
    mesh = init_device_mesh(device.type, (PartialState().num_processes,))
    layers = decoder_layers(chat_model.model)
    for layer in layers:
        # Each a root of its own: the model itself is cut into parts, which a root would not survive.
        fully_shard(layer, mesh=mesh, reshard_after_forward=True)
    for module in chat_model.model.modules():
        if module is not layers and not any(module is one for layer in layers for one in layer.modules()):
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(device)
            for name, buffer in module.named_buffers(recurse=False):
                module.register_buffer(name, buffer.to(device), persistent=False)


def is_sharded(model: "PreTrainedModel") -> bool:
    """Whether :func:`shard` was done to a model."""
    from torch.distributed.fsdp import FSDPModule

    return isinstance(decoder_layers(model)[0], FSDPModule)
