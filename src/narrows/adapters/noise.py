"""Orthogonal noise, as the stability metric adds it to parameters (paper §5)."""

import math

import torch
from torch import Tensor

from narrows.errors import ConfigError


def with_orthogonal_noise(tensor: Tensor, epsilon: float, generator: torch.Generator) -> Tensor:
    """√(1−ε²)·x + ε·y, with Gaussian y made orthogonal to x and of x's norm.

    The norm stays; the cosine with x becomes √(1−ε²). A zero tensor stays zero.

    Args:
        tensor: x, of any shape; it is one vector here.
        epsilon: the noise ratio, 0 to 1.
        generator: a CPU generator: the same noise on every device.

    Raises:
        ConfigError: ``epsilon`` is outside 0 to 1.
    """
    if not 0 <= epsilon <= 1:
        raise ConfigError(f"epsilon is {epsilon}; it must lie in 0 to 1.")
    x = tensor.detach().to("cpu", torch.float64).flatten()
    noise = torch.randn(len(x), generator=generator, dtype=torch.float64)
    length = x.norm()
    if length == 0:
        return tensor.detach().clone()
    noise -= (noise @ x) / length**2 * x
    noise *= length / noise.norm()
    result = math.sqrt(1 - epsilon**2) * x + epsilon * noise
    return result.to(tensor.device, tensor.dtype).view(tensor.shape)


def square_root(covariance: Tensor) -> Tensor:
    """R with R·Rᵀ = the covariance, (n, n), fp64 on the CPU: R·z of a standard Gaussian z has it."""
    values, vectors = torch.linalg.eigh(covariance.to("cpu", torch.float64))
    # Rounding may leave eigenvalues of a singular covariance a little below 0.
    root: Tensor = vectors * values.clamp(min=0).sqrt()
    return root


def gaussian_like(tensor: Tensor, generator: torch.Generator, root: Tensor | None = None) -> Tensor:
    """A Gaussian tensor of another's shape and norm.

    Args:
        tensor: gives shape, norm, device and dtype.
        generator: a CPU generator: the same numbers on every device.
        root: (n, n), a :func:`square_root` of the first dimension's covariance, where that is n long;
            elsewhere, and without it, all directions are drawn alike.
    """
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if root is not None and len(root) == len(noise):
        noise = (root @ noise.view(len(noise), -1)).view(noise.shape)
    length = tensor.detach().to("cpu", torch.float64).norm()
    scaled: Tensor = noise * (length / noise.norm())
    return scaled.to(tensor.device, tensor.dtype)
