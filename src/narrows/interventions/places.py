"""Where decoder layers write to the residual stream and read from it, found by running the model once.

Nothing is looked up by name: families call the same thing differently (``post_attention_layernorm`` stands
before the MLP on Llama and behind the attention on Gemma-2). What a layer's parts take and give in one short
pass says what each does, and the layer's output says whether all writes were found.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from narrows.errors import AdapterError
from narrows.models import decoder_layers, device_of, inner_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS = 6
"""Of the pass. As many random ids: parts that do different things must not agree by chance."""


@dataclass(frozen=True)
class LayerPlaces:
    """Where one decoder layer writes and reads.

    Attributes:
        layer: the layer; it reads the stream as its input.
        writes: its modules whose outputs are added to the stream: attention and MLP, or the norms (dropouts)
            that follow them.
        middle: its modules that read the stream between two writes; none where both sub-blocks read the
            layer's input (parallel attention).
        factor: what the writes are multiplied by as they are added; 1 but on Granite.
        sources: for each write the linear module whose output it is, unchanged; None where something lies
            between (a norm, a mixture of experts).
    """

    layer: nn.Module
    writes: tuple[nn.Module, ...]
    middle: tuple[nn.Module, ...]
    factor: float
    sources: tuple[nn.Linear | None, ...]


@dataclass(frozen=True)
class Places:
    """Where a model writes to its residual stream and reads from it.

    Attributes:
        layers: of each decoder layer, in order.
        embedding_factor: what the token embedding is multiplied by before the first layer; None if what
            enters there is not the embedding alone.
    """

    layers: tuple[LayerPlaces, ...]
    embedding_factor: float | None


@dataclass(frozen=True)
class _Call:
    """One call of a module: what came in before its own hooks, and what left after them, fp64 on the CPU."""

    module: nn.Module
    entered: Tensor
    left: Tensor


@dataclass(frozen=True)
class _Seen:
    """A layer's pass: what entered it, what it gave (before the hooks on it), its parts' calls in order."""

    entered: Tensor
    left: Tensor
    parts: list[_Call]
    linears: list[_Call]
    epsilon: float


@torch.no_grad()
def find_places(model: "PreTrainedModel") -> Places:
    """Run a few tokens through a model, and find its writes and reads.

    Whatever adapters and interventions are attached may stay so.

    Raises:
        AdapterError: what a layer adds to the stream is not the sum of what its own modules give.
        ModelError: the decoder layers could not be found.
    """
    layers = list(decoder_layers(model))
    embedding = model.get_input_embeddings()
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(int(embedding.weight.shape[0]), (1, TOKENS), generator=generator)
    with _watching(layers) as seen:
        inner_model(model)(input_ids=ids.to(device_of(embedding)), use_cache=False)
    if len(seen) != len(layers):
        raise AdapterError(
            f"{type(model).__name__}: only {len(seen)} of {len(layers)} decoder layers give a stream, so the "
            "single writes and reads could not be found. The sites `layer` and `layers` need none of them."
        )
    found = tuple(_places(model, number, layer, seen[number]) for number, layer in enumerate(layers))
    first = seen[0]
    words = _plain(embedding(ids.to(device_of(embedding))))
    factor = _factor(first.entered, words)
    alone = _close(first.entered, factor * words, first.epsilon)
    return Places(found, factor if alone else None)


def _places(model: "PreTrainedModel", number: int, layer: nn.Module, seen: _Seen) -> LayerPlaces:
    """What the calls of a layer's parts say."""
    parts = [one for one in seen.parts if one.left.shape == seen.left.shape]
    writes = [
        one
        for place, one in enumerate(parts)
        if not any(torch.equal(one.left, later.entered) for later in parts[place + 1 :])
    ]
    middle = [
        one
        for place, one in enumerate(parts)
        if not torch.equal(one.entered, seen.entered)
        and not any(torch.equal(one.entered, earlier.left) for earlier in parts[:place])
    ]
    added = seen.left - seen.entered
    total = sum((one.left for one in writes), torch.zeros_like(added))
    factor = _factor(added, total)
    if not writes or not _close(seen.entered + factor * total, seen.left, seen.epsilon):
        names = {id(module): name for name, module in layer.named_children()}
        tried = ", ".join(names[id(one.module)] for one in writes) or "none of its modules"
        raise AdapterError(
            f"{type(model).__name__}: what decoder layer {number} adds to the residual stream is not the sum "
            f"of what its modules give (tried {tried}), so its single writes and reads could not be found. "
            "The sites `layer` and `layers` need none of them."
        )
    return LayerPlaces(
        layer,
        writes=tuple(one.module for one in writes),
        middle=tuple(one.module for one in middle),
        factor=factor,
        sources=tuple(_source(one, seen.linears) for one in writes),
    )


def _source(write: _Call, linears: list[_Call]) -> nn.Linear | None:
    """The linear module that gives exactly what is written, if there is one."""
    for one in linears:
        if isinstance(one.module, nn.Linear) and torch.equal(one.left, write.left):
            return one.module
    return None


def _factor(whole: Tensor, part: Tensor) -> float:
    """The number that ``part`` is multiplied by in ``whole``, by least squares; 1 where it is about 1."""
    square = float((part * part).sum())
    factor = float((whole * part).sum()) / square if square > 0 else 1.0
    return 1.0 if abs(factor - 1) < 1e-2 else factor


def _close(found: Tensor, wanted: Tensor, epsilon: float) -> bool:
    """Whether two streams are the same but for rounding."""
    return bool((found - wanted).norm() <= 8 * epsilon * (found.norm() + wanted.norm()))


@contextmanager
def _watching(layers: list[nn.Module]) -> Iterator[list[_Seen]]:
    """Record one pass through some layers; the list is filled when the pass is over."""
    watchers = [_Watcher(layer) for layer in layers]
    seen: list[_Seen] = []
    try:
        yield seen
    finally:
        for one in watchers:
            one.stop()
        seen += [one.seen() for one in watchers if one.left is not None]


class _Watcher:
    """Hooks on a layer, its children and its linear modules."""

    def __init__(self, layer: nn.Module) -> None:
        self.entered: Tensor | None = None
        self.left: Tensor | None = None
        self._epsilon = 0.0
        self._children = set(layer.children())
        self._calls: list[_Call] = []
        self._pending: list[tuple[nn.Module, Tensor | None]] = []
        # The layer's input after all other hooks, its output before them: what lies between is the layer's.
        self._handles = [
            layer.register_forward_pre_hook(self._enter, with_kwargs=True),
            layer.register_forward_hook(self._leave, prepend=True),
        ]
        for module in layer.modules():
            if module in self._children or isinstance(module, nn.Linear):
                # Before its other hooks, and after them: what the layer hands in, and what it gets.
                self._handles += [
                    module.register_forward_pre_hook(self._before, with_kwargs=True, prepend=True),
                    module.register_forward_hook(self._after),
                ]

    def stop(self) -> None:
        """Take the hooks away."""
        for handle in self._handles:
            handle.remove()

    def seen(self) -> _Seen:
        """What was recorded."""
        assert self.entered is not None and self.left is not None  # noqa: S101  (the pass is over)
        parts = [one for one in self._calls if one.module in self._children]
        linears = [one for one in self._calls if isinstance(one.module, nn.Linear)]
        return _Seen(self.entered, self.left, parts, linears, self._epsilon)

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        self.entered = _plain(stream_of(args, kwargs))

    def _leave(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401
        first = _first(output)
        if first is not None:
            self.left, self._epsilon = _plain(first), torch.finfo(first.dtype).eps

    def _before(self, module: nn.Module, args: Any, kwargs: Any) -> None:  # noqa: ANN401
        entering = stream_of(args, kwargs)
        self._pending.append((module, None if entering is None else _plain(entering)))

    def _after(self, module: nn.Module, args: Any, output: Any) -> None:  # noqa: ANN401
        entered = next(tensor for one, tensor in reversed(self._pending) if one is module)
        left = _first(output)
        if entered is not None and left is not None and left.is_floating_point():
            self._calls.append(_Call(module, entered, _plain(left)))


def stream_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ANN401
    """The stream among a module's arguments: the first, or ``hidden_states`` by name; None without one."""
    return args[0] if args and isinstance(args[0], Tensor) else kwargs.get("hidden_states")


def _first(output: Any) -> Tensor | None:  # noqa: ANN401
    """The tensor that a module gives, or the first of the tuple that it gives."""
    first = output[0] if isinstance(output, tuple) and output else output
    return first if isinstance(first, Tensor) else None


def _plain(stream: Tensor) -> Tensor:
    """A copy that no later pass changes."""
    return stream.detach().to("cpu", torch.float64, copy=True)
