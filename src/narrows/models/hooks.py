"""Forward hooks that change or read what a module gives out: a tensor, or a tuple that begins with one."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

Change = Callable[[Tensor], Tensor]
"""What becomes of a stream, (…, hidden) to (…, hidden), in its own dtype, out of place."""

Read = Callable[[Tensor], None]
"""Looks at a stream, (…, hidden), and leaves it as it is."""

Hook = Callable[[nn.Module, object, Any], object]


def changes_output(change: Change) -> Hook:
    """A forward hook that changes a module's output, whichever of the two its family and version give."""

    def hook(module: nn.Module, arguments: object, output: Tensor | tuple[Any, ...]) -> object:
        return (change(output[0]), *output[1:]) if isinstance(output, tuple) else change(output)

    return hook


def reads_output(read: Read) -> Hook:
    """A forward hook that looks at a module's output, whichever of the two its family and version give."""

    def hook(module: nn.Module, arguments: object, output: Tensor | tuple[Any, ...]) -> None:
        read(output[0] if isinstance(output, tuple) else output)

    return hook
