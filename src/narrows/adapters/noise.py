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


def gaussian_like(tensor: Tensor, generator: torch.Generator, covariance: Tensor | None = None) -> Tensor:
    """A Gaussian tensor of another's shape and norm.

    Args:
        tensor: gives shape, norm, device and dtype.
        generator: a CPU generator: the same numbers on every device.
        covariance: (n, n) of the first dimension, where it is n long; elsewhere, and without it, all
            directions are drawn alike.
    """
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if covariance is not None and len(covariance) == len(noise):
        # z ↦ V √Λ z: rounding may leave eigenvalues of a singular covariance a little below 0.
        values, vectors = torch.linalg.eigh(covariance.to("cpu", torch.float64))
        columns = values.clamp(min=0).sqrt()[:, None] * noise.view(len(noise), -1)
        noise = (vectors @ columns).view(noise.shape)
    length = tensor.detach().to("cpu", torch.float64).norm()
    scaled: Tensor = noise * (length / noise.norm())
    return scaled.to(tensor.device, tensor.dtype)
