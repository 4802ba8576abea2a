"""Chat models: loading one, finding its layers, running it cut in two, and its losses from hidden states.

``chat_model`` loads and describes, ``layers`` finds the decoder layers, ``hooks`` change their outputs,
``split`` runs the part below a layer and the part above it, ``packing`` lays rows end to end in place of
padding them, ``recompute`` trades memory for time there, ``sharding`` spreads layers over processes, ``head``
is the LM head as data, ``losses`` are NLL and KL in chunks, ``frozen`` keeps what lies below an adapter and
``states`` keeps that on disk, ``activations`` measures the residual stream, ``quantised`` holds bases in 4 or
8 bits, ``devices`` knows where a part of a model computes.
"""

from narrows.models.activations import mean_residual_norm, residual_covariance
from narrows.models.chat_model import ChatModel, load_chat_model
from narrows.models.devices import device_of
from narrows.models.frozen import FrozenBatch, FrozenRows
from narrows.models.head import Head
from narrows.models.layers import check_layer, decoder_layers, inner_model
from narrows.models.losses import token_kl, token_nll
from narrows.models.packing import Layout, Packed, can_pack, repeated
from narrows.models.recompute import recomputed
from narrows.models.sharding import is_sharded, shard, wants_sharding
from narrows.models.split import Split
from narrows.models.states import keep_states, keeping_states

__all__ = [
    "ChatModel",
    "FrozenBatch",
    "FrozenRows",
    "Head",
    "Layout",
    "Packed",
    "Split",
    "can_pack",
    "check_layer",
    "decoder_layers",
    "device_of",
    "inner_model",
    "is_sharded",
    "keep_states",
    "keeping_states",
    "load_chat_model",
    "mean_residual_norm",
    "recomputed",
    "repeated",
    "residual_covariance",
    "shard",
    "token_kl",
    "token_nll",
    "wants_sharding",
]
