"""Steering vectors: α·v added to the residual stream at the output of one decoder layer, at every token."""

import copy as copying
import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from narrows.adapters import files
from narrows.adapters.noise import gaussian_like, with_orthogonal_noise
from narrows.errors import AdapterError, ConfigError
from narrows.models import ChatModel, Split, check_layer, decoder_layers, device_of
from narrows.models.hooks import changes_output

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FORMAT = "narrows.steering-vector/1"


@dataclass(eq=False)
class SteeringVector:
    """h + α·v at the output of decoder layer ``layer``, at all positions, in training and in use.

    With ``module`` it is added to the output of that module of the layer instead. Where the layer adds this
    to the stream as it is (``mlp.down_proj`` on Llama, Qwen, Mistral) the two are the same; on Gemma-2 and
    OLMo-2 a norm follows, and vectors that were trained there only mean something there (paper §3, defect 2).

    v and α are stored apart; α·v is what acts. Under Adam α sets the length of a step (learning rate × α).

    Attributes:
        vector: v, (hidden,), fp32.
        layer: 0-indexed decoder layer whose output is changed.
        alpha: α, finite and not 0.
        metadata: anything JSON can hold; saved with the vector.
        module: the module of the layer whose output is changed; the layer itself if empty.

    Raises:
        AdapterError: ``vector`` is not one-dimensional.
        ConfigError: ``alpha`` is 0 or not finite, or ``layer`` negative.
    """

    vector: Tensor
    layer: int
    alpha: float = 256.0
    metadata: dict[str, Any] = field(default_factory=dict)
    module: str = ""

    kind: ClassVar[str] = "steering"
    rank: ClassVar[int | None] = None

    def __post_init__(self) -> None:
        if self.vector.ndim != 1 or not self.vector.numel():
            raise AdapterError(
                "a steering vector has one dimension, (hidden,); this one has shape "
                f"{tuple(self.vector.shape)}."
            )
        if self.alpha == 0 or not math.isfinite(self.alpha):
            raise ConfigError(f"alpha is {self.alpha}; it must be a finite number other than 0.")
        if self.layer < 0:
            raise ConfigError(f"layer is {self.layer}; decoder layers are counted from 0.")
        self.vector = self.vector.to(torch.float32)

    @classmethod
    def zeros(
        cls, chat_model_or_hidden: ChatModel | int, layer: int, alpha: float = 256.0, module: str = ""
    ) -> "SteeringVector":
        """The vector that changes nothing: where training starts.

        Args:
            chat_model_or_hidden: the model it is for (its layers are then checked), or the width.
            layer: 0-indexed decoder layer.
            alpha: α.
            module: the module of the layer whose output is changed; the layer itself if empty.

        Raises:
            AdapterError: the model has no such layer or module.
        """
        if isinstance(chat_model_or_hidden, int):
            return cls(torch.zeros(chat_model_or_hidden), layer, alpha, module=module)
        result = cls(torch.zeros(chat_model_or_hidden.hidden), layer, alpha, module=module)
        result.check(chat_model_or_hidden.model)
        return result

    @property
    def depth(self) -> int:
        """How many layers are the chat model's own: those up to ``layer``, or below it with a ``module``."""
        return self.layer if self.module else self.layer + 1

    @property
    def effective(self) -> Tensor:
        """α·v, (hidden,), fp32; differentiable in v."""
        return self.alpha * self.vector

    @property
    def norm(self) -> float:
        """‖v‖."""
        return float(self.vector.detach().norm())

    @property
    def effective_norm(self) -> float:
        """‖α·v‖, in the units of the residual stream."""
        return abs(self.alpha) * self.norm

    @property
    def unit(self) -> Tensor:
        """The direction of α·v, (hidden,), of length 1.

        Raises:
            AdapterError: the vector is zero.
        """
        return self.scaled_to(1.0).effective

    def parameters(self) -> list[Tensor]:
        """v, for an optimiser."""
        return [self.vector]

    def tensors(self) -> dict[str, Tensor]:
        """The vector v by its name."""
        return {"vector": self.vector}

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "SteeringVector":
        """The same kind of adapter with another v, named as :meth:`tensors` names it."""
        return self._with(tensors["vector"])

    def coordinates(self) -> Tensor:
        """α·v, (hidden,), fp64 on the CPU: what a trajectory's components are taken of."""
        return self.effective.detach().to("cpu", torch.float64)

    def check(self, model: "PreTrainedModel") -> None:
        """See that the vector fits a model.

        Raises:
            AdapterError: the model has no such layer, or another width.
        """
        check_layer(model, self.layer)
        hidden = int(model.config.get_text_config().hidden_size)
        if len(self.vector) != hidden:
            raise AdapterError(
                f"the vector has width {len(self.vector)} and the model's residual stream {hidden}: it was "
                "made for another model."
            )
        self.site(model)

    def site(self, model: "PreTrainedModel") -> nn.Module:
        """The module whose output is changed.

        Raises:
            AdapterError: the layer has no such module.
        """
        layer = decoder_layers(model)[self.layer]
        try:
            return layer.get_submodule(self.module)
        except AttributeError as error:
            raise AdapterError(f"layer {self.layer} of the model has no module {self.module}.") from error

    def within(self, split: Split) -> AbstractContextManager[None]:
        """Nothing changes above the cut, unless a ``module`` does: a vector acts where the stream enters."""
        return self._hooked(split.model) if self.module else nullcontext()

    def enter(self, hidden: Tensor) -> Tensor:
        """The residual stream as it enters layer ``depth``, steered unless a ``module`` above steers it."""
        return hidden if self.module else self._steered(hidden)

    def _steered(self, hidden: Tensor) -> Tensor:
        """Hidden + α·v, (…, hidden), in its own dtype, out of place."""
        return hidden + self.effective.to(device=hidden.device, dtype=hidden.dtype)

    @contextmanager
    def attach(self, model: "PreTrainedModel | ChatModel") -> Iterator[None]:
        """Steer the model inside the ``with`` block; nested blocks add up, and changes of v act at once.

        Raises:
            AdapterError: the model has no such layer, or another width.
        """
        whole = model.model if isinstance(model, ChatModel) else model
        self.check(whole)
        with self._hooked(whole):
            yield

    @contextmanager
    def _hooked(self, model: "PreTrainedModel") -> Iterator[None]:
        # First of the module's hooks: interventions act on the adapted stream, whoever was attached first.
        handle = self.site(model).register_forward_hook(changes_output(self._steered), prepend=True)
        try:
            yield
        finally:
            handle.remove()

    def scaled(self, factor: float) -> "SteeringVector":
        """The vector ``factor`` · v with the same α."""
        return self._with(self.vector.detach() * factor)

    def scaled_to(self, effective_norm: float) -> "SteeringVector":
        """The same direction with ‖α·v‖ = ``effective_norm``.

        Raises:
            AdapterError: the vector is zero and has no direction.
            ConfigError: the norm is negative or not finite.
        """
        if effective_norm < 0 or not math.isfinite(effective_norm):
            raise ConfigError(f"effective_norm is {effective_norm}; it must be finite and not negative.")
        if self.norm == 0:
            raise AdapterError("a zero vector has no direction and cannot be scaled to a norm.")
        unit = self.vector.detach().double()
        return self._with((unit / unit.norm() * (effective_norm / abs(self.alpha))).float())

    def with_alpha(self, alpha: float) -> "SteeringVector":
        """The same α·v with another α."""
        result = self._with(self.vector.detach() * (self.alpha / alpha))
        return SteeringVector(result.vector, self.layer, alpha, result.metadata, self.module)

    def perturbed(self, epsilon: float, generator: torch.Generator) -> "SteeringVector":
        """√(1−ε²)·v + ε·y, with Gaussian y made orthogonal to v and of v's norm (the stability metric).

        The norm stays; the cosine with v becomes √(1−ε²). A zero vector stays zero.

        Args:
            epsilon: the noise ratio, 0 to 1.
            generator: a CPU generator: the same noise on every device.

        Raises:
            ConfigError: ``epsilon`` is outside 0 to 1.
        """
        return self._with(with_orthogonal_noise(self.vector, epsilon, generator))

    def random_like(self, generator: torch.Generator, root: Tensor | None = None) -> "SteeringVector":
        """A random control: a Gaussian vector of this one's norm.

        Args:
            generator: a CPU generator.
            root: (hidden, hidden), a square root of the residual stream's covariance. A Gaussian drawn with
                it points where the model's activations vary: the harder control.
        """
        return self._with(gaussian_like(self.vector, generator, root))

    def cosine(self, other: "SteeringVector") -> float:
        """The cosine of the angle between α·v of both; 0 where one of them is zero.

        Raises:
            AdapterError: they sit at different layers or have different widths.
        """
        self._check_same_place(other)
        left, right = (one.effective.detach().to("cpu", torch.float64) for one in (self, other))
        lengths = left.norm() * right.norm()
        return float(left @ right / lengths) if lengths > 0 else 0.0

    def __add__(self, other: "SteeringVector") -> "SteeringVector":
        return self._combined(other, 1.0)

    def __sub__(self, other: "SteeringVector") -> "SteeringVector":
        return self._combined(other, -1.0)

    def __mul__(self, factor: float) -> "SteeringVector":
        return self.scaled(factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "SteeringVector":
        return self._with(self.vector.detach() / divisor)

    def __neg__(self) -> "SteeringVector":
        return self.scaled(-1.0)

    def copy(self) -> "SteeringVector":
        """The same vector in a tensor of its own, without gradient."""
        return self._with(self.vector.detach().clone())

    def to(self, device: torch.device | str) -> "SteeringVector":
        """The same vector on ``device``."""
        return self._with(self.vector.detach().to(device))

    def placed(self, model: "PreTrainedModel") -> "SteeringVector":
        """The same vector on its layer's device.

        Raises:
            AdapterError: the model has no such layer.
        """
        check_layer(model, self.layer)
        return self.to(device_of(decoder_layers(model)[self.layer]))

    def save(self, path: Path | str) -> Path:
        """Write ``path`` (a ``.safetensors`` file) and the JSON beside it; both appear whole or not at all.

        Returns:
            The ``.safetensors`` file.

        Raises:
            AdapterError: the vector is not finite, or the name does not end in ``.safetensors``.
            RunFolderError: the files cannot be written.
        """
        facts = {
            "layer": self.layer,
            "module": self.module,
            "alpha": self.alpha,
            "hidden": len(self.vector),
            "norm": self.norm,
            "effective_norm": self.effective_norm,
            "metadata": self.metadata,
        }
        return files.save(Path(path), FORMAT, {"vector": self.vector.detach()}, facts)

    @classmethod
    def load(cls, path: Path | str) -> "SteeringVector":
        """Read what :meth:`save` wrote.

        Raises:
            AdapterError: a file is missing, cut short, changed, or holds something else; names it and the
                way out.
        """
        path = Path(path)
        tensors, facts = files.load(path, FORMAT)
        with files.naming(path):
            vector, hidden = tensors["vector"], facts["hidden"]
            if vector.shape != (hidden,):
                raise AdapterError(
                    f"holds a vector of shape {tuple(vector.shape)}, and its JSON says width {hidden}: the "
                    "two do not belong together; save it again."
                )
            module = str(facts.get("module", ""))
            metadata = dict(facts.get("metadata") or {})
            return files.usable(cls(vector, int(facts["layer"]), float(facts["alpha"]), metadata, module))

    def _with(self, vector: Tensor) -> "SteeringVector":
        return SteeringVector(vector, self.layer, self.alpha, copying.deepcopy(self.metadata), self.module)

    def _combined(self, other: "SteeringVector", factor: float) -> "SteeringVector":
        self._check_same_place(other)
        if self.alpha != other.alpha:
            raise AdapterError(
                f"vectors with alpha {self.alpha:g} and {other.alpha:g} cannot be added as they are: bring "
                f"one to the other's alpha first, with_alpha({self.alpha:g})."
            )
        total = self.vector.detach() + factor * other.vector.detach().to(self.vector.device)
        return SteeringVector(total, self.layer, self.alpha, module=self.module)

    def _check_same_place(self, other: "SteeringVector") -> None:
        if (self.layer, self.module) != (other.layer, other.module):
            mine, theirs = (f"{x.layer} ({x.module})" if x.module else f"{x.layer}" for x in (self, other))
            raise AdapterError(
                f"vectors at layers {mine} and {theirs} cannot be combined or compared: their streams "
                "differ. To use both, attach them one inside the other."
            )
        if len(self.vector) != len(other.vector):
            raise AdapterError(
                f"vectors of widths {len(self.vector)} and {len(other.vector)} belong to different models."
            )
