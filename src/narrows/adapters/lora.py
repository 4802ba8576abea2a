"""LoRA: s·B·A added to the weights of some linear modules, by hooks that leave the modules as they are."""

import copy as copying
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from narrows.adapters import files
from narrows.adapters.low_rank import Factors, find_targets, hooked, layer_of, linear_module
from narrows.adapters.noise import gaussian_like, with_orthogonal_noise
from narrows.errors import AdapterError, ConfigError
from narrows.models import ChatModel, Split, device_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FORMAT = "narrows.lora/1"


@dataclass(eq=False)
class LoRA:
    """W + s·B·A for some linear modules, at all positions; s is α/√rank (rsLoRA) or α/rank.

    What PEFT calls a LoRA without dropout, and computed alike: the low-rank path in fp32, then rounded to
    the module's dtype.

    Attributes:
        factors: A (rank, in) and B (out, rank), fp32, by module.
        alpha: α, above 0.
        rslora: divide α by √rank and not by rank.
        metadata: anything JSON can hold; saved with the adapter.

    Raises:
        AdapterError: no modules, or factors that do not fit together.
        ConfigError: ``alpha`` is not a positive number.
    """

    factors: Factors
    alpha: float = 256.0
    rslora: bool = True
    metadata: dict[str, Any] = field(default_factory=dict)

    kind: ClassVar[str] = "lora"

    def __post_init__(self) -> None:
        if not self.factors:
            raise AdapterError("a LoRA changes at least one module; this one has none.")
        for name, (a, b) in self.factors.items():
            if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1]:
                raise AdapterError(
                    f"{name}: A has shape {tuple(a.shape)} and B {tuple(b.shape)}; they must be (rank, in) "
                    "and (out, rank)."
                )
            if not name.partition(".")[0].isdecimal() or "." not in name:
                raise AdapterError(f"{name!r} is no module of a decoder layer, such as 24.mlp.down_proj.")
        if len({len(a) for a, _ in self.factors.values()}) > 1:
            raise AdapterError("all modules of a LoRA have one rank here; these differ.")
        if not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ConfigError(f"alpha is {self.alpha}; it must be a finite number above 0.")
        self.factors = {name: (a.float(), b.float()) for name, (a, b) in self.factors.items()}

    @classmethod
    def fresh(
        cls,
        chat_model: ChatModel,
        *,
        rank: int = 1,
        targets: Sequence[str] = ("down_proj",),
        layers: Sequence[int] | None = None,
        alpha: float = 256.0,
        rslora: bool = True,
        seed: int = 0,
    ) -> "LoRA":
        """The LoRA that changes nothing yet: A drawn as PEFT draws it, B zero.

        Args:
            chat_model: the model it is for.
            rank: of each module's change.
            targets: linear modules of a decoder layer by the end of their names.
            layers: 0-indexed decoder layers (default: the middle one).
            alpha: α.
            rslora: divide α by √rank and not by rank.
            seed: draws A.

        Raises:
            AdapterError: a layer does not exist, or a target is no linear module of any layer.
            ConfigError: ``rank`` is below 1 or ``alpha`` not above 0.
        """
        if rank < 1:
            raise ConfigError(f"rank is {rank}; it must be at least 1.")
        chosen = [chat_model.layers // 2] if layers is None else sorted(set(layers))
        generator = torch.Generator().manual_seed(seed)
        factors: Factors = {}
        for layer in chosen:
            for name, module in find_targets(chat_model.model, layer, targets).items():
                bound = 1 / math.sqrt(module.in_features)  # kaiming_uniform_ with a = √5
                a = (2 * torch.rand(rank, module.in_features, generator=generator) - 1) * bound
                factors[f"{layer}.{name}"] = (a, torch.zeros(module.out_features, rank))
        return cls(factors, alpha, rslora)

    @property
    def rank(self) -> int:
        """The rank of each module's change."""
        return len(next(iter(self.factors.values()))[0])

    @property
    def scaling(self) -> float:
        """s: α/√rank or α/rank."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    @property
    def layers(self) -> list[int]:
        """The decoder layers it changes."""
        return sorted({layer_of(name) for name in self.factors})

    @property
    def layer(self) -> int:
        """The first decoder layer it changes."""
        return self.layers[0]

    @property
    def depth(self) -> int:
        """The first decoder layer whose output is changed."""
        return self.layer

    @property
    def norms(self) -> dict[str, float]:
        """‖s·B·A‖_F of each module."""
        return {name: self.scaling * _product_norm(*pair) for name, pair in self.factors.items()}

    @property
    def norm(self) -> float:
        """‖B·A‖_F over all modules."""
        return self.effective_norm / self.scaling

    @property
    def effective_norm(self) -> float:
        """‖s·B·A‖_F over all modules: the norm of the change of the weights."""
        return math.hypot(*self.norms.values())

    def parameters(self) -> list[Tensor]:
        """All A and B, for an optimiser."""
        return [tensor for pair in self.factors.values() for tensor in pair]

    def tensors(self) -> dict[str, Tensor]:
        """All A and B by name."""
        return {
            f"{name}.{which}": tensor
            for name, pair in self.factors.items()
            for which, tensor in zip(("lora_A", "lora_B"), pair, strict=True)
        }

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "LoRA":
        """The same kind of adapter with other numbers, named as :meth:`tensors` names them."""
        return self._with(
            {name: (tensors[f"{name}.lora_A"], tensors[f"{name}.lora_B"]) for name in self.factors}
        )

    def coordinates(self) -> Tensor:
        """All A and B in one row, (n,), fp64 on the CPU: what a trajectory's components are taken of."""
        return torch.cat([tensor.detach().to("cpu", torch.float64).flatten() for tensor in self.parameters()])

    def check(self, model: "PreTrainedModel") -> None:
        """See that the adapter fits a model.

        Raises:
            AdapterError: the model has no such layer or module, or one of another shape.
        """
        for name, (a, b) in self.factors.items():
            module = linear_module(model, name)
            wanted = (module.in_features, module.out_features)
            if (a.shape[1], len(b)) != wanted:
                raise AdapterError(
                    f"{name} takes {a.shape[1]} and gives {len(b)} numbers in the LoRA, and {wanted[0]} and "
                    f"{wanted[1]} in the model: it was made for another model."
                )

    def enter(self, hidden: Tensor) -> Tensor:
        """The residual stream as it is: a LoRA acts inside the layers."""
        return hidden

    @contextmanager
    def within(self, split: Split) -> Iterator[None]:
        """Change the layers of a cut model inside the ``with`` block."""
        with hooked(split.model, self.factors, self.scaling):
            yield

    @contextmanager
    def attach(self, model: "PreTrainedModel | ChatModel") -> Iterator[None]:
        """Change the model inside the ``with`` block; nested blocks add up, changes of A and B act.

        Raises:
            AdapterError: the model has no such module, or one of another shape.
        """
        whole = model.model if isinstance(model, ChatModel) else model
        self.check(whole)
        with hooked(whole, self.factors, self.scaling):
            yield

    def scaled(self, factor: float) -> "LoRA":
        """``factor`` · s·B·A, by scaling B."""
        return self._with({name: (a.detach(), b.detach() * factor) for name, (a, b) in self.factors.items()})

    def scaled_to(self, effective_norm: float) -> "LoRA":
        """The same change with another norm, by scaling B.

        Raises:
            AdapterError: the change is zero and has no direction.
            ConfigError: the norm is negative or not finite.
        """
        if effective_norm < 0 or not math.isfinite(effective_norm):
            raise ConfigError(f"effective_norm is {effective_norm}; it must be finite and not negative.")
        own = self.effective_norm
        if own == 0:
            raise AdapterError("a LoRA that changes nothing has no direction and cannot be scaled to a norm.")
        return self.scaled(effective_norm / own)

    def perturbed(self, epsilon: float, generator: torch.Generator) -> "LoRA":
        """Orthogonal noise on each A and on each B by itself (paper §5); their norms stay.

        Args:
            epsilon: the noise ratio, 0 to 1.
            generator: a CPU generator: the same noise on every device.

        Raises:
            ConfigError: ``epsilon`` is outside 0 to 1.
        """
        return self.with_tensors(
            {
                name: with_orthogonal_noise(tensor, epsilon, generator)
                for name, tensor in self.tensors().items()
            }
        )

    def random_like(self, generator: torch.Generator, root: Tensor | None = None) -> "LoRA":
        """A random control: Gaussian A and B, each of the norm of this one's.

        Args:
            generator: a CPU generator.
            root: (hidden, hidden), a square root of the residual stream's covariance; B of modules that
                write to it are drawn with it.
        """
        return self._with(
            {
                name: (gaussian_like(a, generator), gaussian_like(b, generator, root))
                for name, (a, b) in self.factors.items()
            }
        )

    def cosine(self, other: "LoRA") -> float:
        """The cosine of the angle between s·B·A of both, over all modules; 0 where one of them is zero.

        Raises:
            AdapterError: they change other modules, or modules of other shapes.
        """
        if self.factors.keys() != other.factors.keys():
            differ = sorted(self.factors.keys() ^ other.factors.keys())
            raise AdapterError(
                f"LoRAs of different modules cannot be compared; only one has {', '.join(differ[:4])}."
            )
        total = 0.0
        for name, (a, b) in self.factors.items():
            theirs_a, theirs_b = other.factors[name]
            if (a.shape[1], len(b)) != (theirs_a.shape[1], len(theirs_b)):
                raise AdapterError(
                    f"{name} has other shapes in the two LoRAs: they belong to different models."
                )
            left, right = (x.detach().to("cpu", torch.float64) for x in (a, b))
            other_a, other_b = (x.detach().to("cpu", torch.float64) for x in (theirs_a, theirs_b))
            total += float(((left @ other_a.T) * (right.T @ other_b)).sum())
        lengths = self.norm * other.norm
        return total / lengths if lengths > 0 else 0.0

    def copy(self) -> "LoRA":
        """The same LoRA in tensors of its own, without gradient."""
        return self._with(
            {name: (a.detach().clone(), b.detach().clone()) for name, (a, b) in self.factors.items()}
        )

    def to(self, device: torch.device | str) -> "LoRA":
        """The same LoRA on ``device``."""
        return self._with(
            {name: (a.detach().to(device), b.detach().to(device)) for name, (a, b) in self.factors.items()}
        )

    def placed(self, model: "PreTrainedModel") -> "LoRA":
        """The same LoRA, each pair of factors on its module's device.

        Raises:
            AdapterError: the model has no such layer or module.
        """
        devices = {name: device_of(linear_module(model, name)) for name in self.factors}
        return self._with(
            {
                name: (a.detach().to(devices[name]), b.detach().to(devices[name]))
                for name, (a, b) in self.factors.items()
            }
        )

    def save(self, path: Path | str) -> Path:
        """Write ``path`` (a ``.safetensors`` file) and the JSON beside it; both appear whole or not at all.

        Returns:
            The ``.safetensors`` file.

        Raises:
            AdapterError: a factor is not finite, or the name does not end in ``.safetensors``.
            RunFolderError: the files cannot be written.
        """
        facts = {
            "rank": self.rank,
            "alpha": self.alpha,
            "rslora": self.rslora,
            "modules": list(self.factors),
            "norm": self.norm,
            "effective_norm": self.effective_norm,
            "metadata": self.metadata,
        }
        return files.save(Path(path), FORMAT, {k: v.detach() for k, v in self.tensors().items()}, facts)

    @classmethod
    def load(cls, path: Path | str) -> "LoRA":
        """Read what :meth:`save` wrote.

        Raises:
            AdapterError: a file is missing, cut short, changed, or holds something else; names it and the
                way out.
        """
        path = Path(path)
        tensors, facts = files.load(path, FORMAT)
        with files.naming(path):
            factors = {
                name: (tensors[f"{name}.lora_A"], tensors[f"{name}.lora_B"]) for name in facts["modules"]
            }
            metadata = dict(facts.get("metadata") or {})
            return files.usable(cls(factors, float(facts["alpha"]), bool(facts["rslora"]), metadata))

    def _with(self, factors: Factors) -> "LoRA":
        return LoRA(factors, self.alpha, self.rslora, copying.deepcopy(self.metadata))


def _product_norm(a: Tensor, b: Tensor) -> float:
    """‖B·A‖_F without ever forming the product, fp64."""
    a, b = (x.detach().to("cpu", torch.float64) for x in (a, b))
    return math.sqrt(max(0.0, float(((b.T @ b) * (a @ a.T)).sum())))
