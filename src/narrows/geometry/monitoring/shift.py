"""Directions found in what a fine-tune's weights do to the stream: for adapters that are no vector."""

from contextlib import nullcontext

from narrows.adapters import Adapter, Direction
from narrows.geometry.monitoring.probe import Probe
from narrows.geometry.monitoring.stream import mean_streams
from narrows.models import ChatModel


def shift_directions(chat_model: ChatModel, adapter: Adapter, probe: Probe) -> list[Direction]:
    """The mean change that an adapter makes to the residual stream over a probe set, layer by layer.

    It is what a monitor sees of the adapter: looked at along its own shift at a layer, the adapter has the
    shift's length as its projection, and no other direction sees more of it. So a fine-tune of the same kind
    in another domain gives a direction to watch where a trained vector does not fit, as for LoRAs. Of a
    steering vector the shift at its own layer is the vector.

    Args:
        chat_model: the model that the adapter was trained on.
        adapter: the fine-tune.
        probe: what is read; best what the monitor reads.

    Returns:
        One direction for each layer from the adapter's first one on: below it nothing changes.

    Raises:
        AdapterError: the adapter does not fit the model, or changes nothing.
        ModelError: a stream is not finite.
    """
    layers = range(adapter.layer, chat_model.layers)
    streams = []
    for attached in (nullcontext(), adapter.placed(chat_model.model).attach(chat_model.model)):
        with attached:
            streams.append(mean_streams(chat_model.model, probe, layers))
    before, after = streams
    found = {"method": "shift", "model": chat_model.name, "probe": probe.digest, "rows": len(probe.rows)}
    return [Direction.of(after[layer].mean - before[layer].mean, layer, "shift", found) for layer in layers]
