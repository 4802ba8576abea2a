"""Devices that exist only here: real numbers on a CPU, in tensors that say that they lie elsewhere.

An operation on tensors of two devices is refused, as torch refuses it on GPUs. The devices are called
``meta:0`` and ``meta:1``, since torch takes any index there and has all it needs for autograd.
"""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CPU = torch.device("cpu")
FIRST, SECOND = torch.device("meta:0"), torch.device("meta:1")


class Elsewhere(Tensor):
    """Numbers on the CPU that claim another device."""

    inner: Tensor

    @staticmethod
    def __new__(cls, inner: Tensor, device: torch.device) -> "Elsewhere":
        self = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=device,
        )
        self.inner = inner
        return self

    def __repr__(self) -> str:
        return f"Elsewhere({self.device}, {self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


class TwoDevices(TorchDispatchMode):
    """Inside the block ``meta:0`` and ``meta:1`` can be moved to and made tensors on."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})


def _run(func: Any, args: tuple, kwargs: dict) -> Any:
    """The operation on the numbers; its results lie where its tensors do, or where they were asked to."""
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    place = _place(func._schema.name, tensors, kwargs.get("device"))
    plain_args, plain_kwargs = tree_map(_plain, (args, kwargs))
    if "device" in kwargs:
        plain_kwargs = plain_kwargs | {"device": CPU}
    found = func(*plain_args, **plain_kwargs)
    if func._schema.is_mutable:
        return args[0]
    if place == CPU:
        return found
    return tree_map(lambda one: Elsewhere(one, place) if isinstance(one, Tensor) else one, found)


def _plain(one: Any) -> Any:
    """The numbers behind a tensor; ``torch.tensor([], device=…)`` makes true meta tensors."""
    inner = one.inner if isinstance(one, Elsewhere) else one
    if isinstance(inner, Tensor) and inner.is_meta:
        assert not inner.numel()
        return torch.empty(inner.shape, dtype=inner.dtype)
    return inner


def _place(name: str, tensors: list[Tensor], wanted: torch.device | None) -> torch.device:
    # As on GPUs, numbers of no dimension and indices may come from the CPU, and a copy from anywhere.
    if wanted is not None:
        return torch.device(wanted)
    if not tensors:
        return CPU
    first = tensors[0].device
    if name.endswith("::copy_"):
        return first
    devices = {
        one.device
        for one in tensors
        if one.device != torch.device("meta")
        and (one.device != CPU or (one.ndim and "::index" not in name) or len(tensors) == 1)
    }
    if len(devices) > 1:
        raise RuntimeError(f"{name}: tensors on different devices, {', '.join(sorted(map(str, devices)))}")
    return devices.pop() if devices else first
