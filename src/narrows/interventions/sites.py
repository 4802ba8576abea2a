"""Where a residual stream can be changed."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Literal, get_args

from narrows.models import decoder_layers
from narrows.models.hooks import Change, changes_output

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Site = Literal["layer", "layers"]
SITES: tuple[Site, ...] = get_args(Site)


@contextmanager
def changed(model: "PreTrainedModel", site: Site, layer: int, change: Change) -> Iterator[None]:
    """Change the stream at a site inside the ``with`` block.

    Args:
        model: the model.
        site: ``layer``: the output of decoder layer ``layer``; ``layers``: of every decoder layer.
        layer: 0-indexed decoder layer.
        change: what becomes of the stream.
    """
    layers = decoder_layers(model)
    chosen = [layers[layer]] if site == "layer" else list(layers)

    hook = changes_output(change)
    with ExitStack() as stack:
        for one in chosen:
            stack.callback(one.register_forward_hook(hook).remove)
        yield
