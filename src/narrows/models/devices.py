"""Where a model's parts compute, when accelerate spreads it over devices or keeps some of it off them."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

from narrows.errors import ConfigError

Device: TypeAlias = str | torch.device | Mapping[str, int | str | torch.device] | None
"""A device, ``auto``, a device map (modules' names to devices, ``cpu`` or ``disk``), or None, the default."""

OFFLOADED = torch.device("meta")
"""Where accelerate leaves the parameters of an offloaded module between its passes."""


def device_of(module: nn.Module) -> torch.device:
    """The device on which a module computes: that of its parameters, or the one they are brought to.

    Args:
        module: one with parameters, its own or its submodules'.
    """
    device = next(module.parameters()).device
    if device != OFFLOADED:
        return device
    for part in module.modules():
        hook = getattr(part, "_hf_hook", None)
        for one in getattr(hook, "hooks", (hook,)):
            if (wanted := getattr(one, "execution_device", None)) is not None:
                return torch.device(wanted)
    return device


def check_device(device: Device) -> tuple[str | dict[str, Any], str]:
    """Refuse a device that this machine does not have before anything is loaded.

    Returns:
        A device map for transformers, and the type of device that computes: ``cuda``, ``cpu``, …

    Raises:
        ConfigError: there is no such device here.
    """
    first = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "auto":
        return "auto", first
    if isinstance(device, Mapping):
        computing = [one for one in device.values() if one not in ("cpu", "disk")]
        for one in computing:
            check_device(torch.device(one))
        return dict(device), torch.device(computing[0]).type if computing else "cpu"
    device = device or first
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device is {str(device)!r}, which cannot be used here: {error}") from error
    return str(device), torch.device(device).type


def check_dtype(dtype: str | torch.dtype) -> torch.dtype | None:
    """The dtype that was named; None is ``auto``.

    Raises:
        ConfigError: there is no such dtype.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype == "auto" or isinstance(found, torch.dtype):
        return found
    raise ConfigError(f"dtype is {dtype!r}; it must be auto or a torch dtype such as float32 or bfloat16.")
