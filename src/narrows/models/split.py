"""A frozen model cut in two at a decoder layer, so that what no adapter changes is computed only once."""

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from narrows.errors import AdapterError
from narrows.models.devices import device_of
from narrows.models.layers import final_norm_name, inner_model
from narrows.models.packing import Layout, Packed, attending

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Split:
    """A model cut below decoder layer ``depth``: ``suffix(prefix(x))`` is the whole model, bit for bit.

    Both parts are shallow copies of the family's own inner model with fewer layers: they share its
    parameters and keep its masks, rotary embeddings and norms. Neither uses a key-value cache. Hooks on the
    model's layers run here too, so an adapter must not be attached while a split is used.

    Attributes:
        model: the whole model.
        depth: decoder layers below the cut.

    Args:
        model: the whole model.
        depth: decoder layers in the prefix, 0 (only the embedding) to all (the suffix is only the final
            norm).

    Raises:
        AdapterError: ``depth`` is out of range.
    """

    def __init__(self, model: "PreTrainedModel", depth: int) -> None:
        inner = inner_model(model)
        self._norm = norm = final_norm_name(inner)
        count = len(inner.layers)
        if not 0 <= depth <= count:
            raise AdapterError(f"depth {depth} is out of range: the model can be cut at 0 to {count}.")
        self.depth = depth
        self.model = model
        self._below = _with_layers(inner, slice(0, depth), {norm: nn.Identity()})
        self._above = _with_layers(inner, slice(depth, count), {})
        if hasattr(inner, "embedding_multiplier"):
            # Granite scales whatever comes in, and the prefix has done so already.
            self._above.embedding_multiplier = 1.0
        modules = (self._below, self._above, *inner.modules())
        configs = [one.config for one in modules if hasattr(one, "config")]
        self._configs = list({id(config): config for config in configs}.values())

    @property
    def upper_layers(self) -> list[nn.Module]:
        """The decoder layers above the cut."""
        return list(self._above.layers)

    @property
    def entering_device(self) -> torch.device:
        """Where the stream that enters layer ``depth`` lies: with the last layer below the cut."""
        below = list(self._below.layers)
        return device_of(below[-1] if below else self._below.get_input_embeddings())

    @property
    def final_device(self) -> torch.device:
        """Where the final hidden states lie: with the final norm."""
        return device_of(getattr(self._above, self._norm))

    @torch.no_grad()
    def prefix(self, input_ids: Tensor, layout: Layout) -> Tensor:
        """The residual stream that enters decoder layer ``depth``, without gradient.

        Args:
            input_ids: (rows, tokens).
            layout: how the rows lie in it.

        Returns:
            (rows, tokens, hidden), in the model's dtype, on the device of the last layer below the cut.
        """
        return self._run(self._below, layout, input_ids=input_ids)

    def suffix(self, hidden: Tensor, layout: Layout, positions: Tensor | None = None) -> Tensor:
        """The final hidden states (after the final norm) of a residual stream entering layer ``depth``.

        Differentiable in ``hidden``. Several variants of a prefix may be stacked along the rows; a mask and
        positions are then repeated alike, while packed rows stay as they are.

        Args:
            hidden: (rows, tokens, hidden).
            layout: how the rows lie in it.
            positions: (rows, tokens), True where the states are read (there are n), on any device; None
                gives all.

        Returns:
            (rows, tokens, hidden) or (n, hidden), what the LM head reads, on the final norm's device.
        """
        final = self._run(self._above, layout, inputs_embeds=hidden)
        return final if positions is None else final[positions.to(final.device)]

    def _run(self, part: "PreTrainedModel", layout: Layout, **entering: Tensor) -> Tensor:
        """The last hidden states of a part."""
        (given,) = entering.values()
        if isinstance(layout, Packed):
            places = layout.position_ids.to(given.device)
            with attending(layout, self._configs):
                out = part(**entering, position_ids=places, use_cache=False)
        else:
            out = part(**entering, attention_mask=layout.to(given.device), use_cache=False)
        return out.last_hidden_state  # type: ignore[no-any-return]


def _with_layers(inner: "PreTrainedModel", kept: slice, replaced: dict[str, nn.Module]) -> "PreTrainedModel":
    """A shallow copy of ``inner`` with some of its layers; it shares the parameters."""
    part = copy.copy(inner)
    layers = inner.layers[kept]
    part._modules = inner._modules | {"layers": layers} | replaced
    # A wrapper that was put on the instance (by accelerate, say) would still call the original's forward.
    part.__dict__.pop("forward", None)
    config = copy.deepcopy(inner.config)
    config.num_hidden_layers = len(layers)
    if getattr(config, "layer_types", None) is not None:
        config.layer_types = config.layer_types[kept]
    part.config = config
    return part
