"""Where a residual stream can be changed."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal, get_args

from torch import nn

from narrows.interventions.places import find_places, stream_of
from narrows.models import decoder_layers, inner_model
from narrows.models.hooks import Change, changes_output
from narrows.models.layers import final_norm_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Site = Literal["layer", "layers", "writes", "stream"]
"""Where the stream is changed; :func:`narrows.interventions.sites.changed` says what each is."""
SITES: tuple[Site, ...] = get_args(Site)
"""All of :data:`Site`."""


@contextmanager
def changed(model: "PreTrainedModel", site: Site, layer: int, change: Change) -> Iterator[None]:
    """Change the stream at a site inside the ``with`` block.

    Args:
        model: the model.
        site: ``layer``: the output of decoder layer ``layer``. ``layers``: that of every decoder layer.
            ``writes``: everything that the model adds to the stream, before it is added: what enters the
            first layer (the embedding), and each layer's attention and MLP output, behind the norm where one
            follows (Gemma-2, OLMo-2). What a steering vector adds at a layer's output is no write of the
            model's. ``stream``: the stream wherever it is read or written (Arditi et al. 2024): each layer's
            input, what the second sub-block reads, each layer's output, the final norm's input.
        layer: 0-indexed decoder layer.
        change: what becomes of the stream (at ``writes``: of what is added to it).

    Raises:
        AdapterError: the site is ``writes`` or ``stream``, and the model's writes could not be found.
    """
    layers = list(decoder_layers(model))
    inputs: list[nn.Module] = []
    outputs: list[nn.Module] = layers
    if site == "layer":
        outputs = [layers[layer]]
    elif site == "writes":
        places = find_places(model).layers
        inputs, outputs = layers[:1], [module for one in places for module in one.writes]
    elif site == "stream":
        middle = [module for one in find_places(model).layers for module in one.middle]
        inner = inner_model(model)
        inputs = [*layers, *middle, inner.get_submodule(final_norm_name(inner))]
    with ExitStack() as stack:
        for module in inputs:
            handle = module.register_forward_pre_hook(_changes_input(change), with_kwargs=True)
            stack.callback(handle.remove)
        for module in dict.fromkeys(outputs):
            stack.callback(module.register_forward_hook(changes_output(change)).remove)
        yield


def _changes_input(change: Change) -> Any:  # noqa: ANN401  (torch does not name the type of such a hook)
    """A forward pre-hook that changes the stream that a module reads, however it is passed."""

    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> object:
        stream = change(stream_of(args, kwargs))
        if args and args[0] is stream_of(args, kwargs):
            return (stream, *args[1:]), kwargs
        return args, kwargs | {"hidden_states": stream}

    return hook
