"""What of the exact product a CPU can show; that GPUs add so is checked by ``benchmarks/gpu_check.py``."""

import pytest
import torch

from narrows.models import exact_product as module
from narrows.models.exact_product import exact_product, is_exact, parts


def test_an_fp32_tensor_is_the_sum_of_three_bf16_ones():
    draw = torch.Generator().manual_seed(0)
    states = torch.randn(1000, generator=draw) * 10.0 ** torch.randint(-20, 20, (1000,), generator=draw)
    found = parts(states)
    assert {one.dtype for one in found} == {torch.bfloat16}
    assert torch.equal(sum(one.double() for one in found), states.double())
    nearly = sum(one.double() for one in parts(states, 2))
    assert float(((nearly - states.double()) / states.double()).abs().max()) < 2**-16
    (same,) = parts(found[0])
    assert same is found[0]


def test_on_a_cpu_no_weight_is_taken():
    assert not is_exact(torch.zeros(2, 2, dtype=torch.bfloat16))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch):
    """Products with ``out_dtype``, which a CPU does not have."""

    def mm(left, right, out_dtype):
        return (left.double() @ right.double()).to(out_dtype)

    def addmm(total, left, right, out_dtype):
        return total + mm(left, right, out_dtype)

    monkeypatch.setattr(module.torch, "mm", mm)
    monkeypatch.setattr(module.torch, "addmm", addmm)


@pytest.mark.usefixtures("as_on_a_gpu")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_product_and_its_gradient_are_those_of_fp64(dtype: torch.dtype):
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(30, 16, generator=draw).to(torch.bfloat16)
    states = torch.randn(2, 5, 16, generator=draw).to(dtype).requires_grad_()
    incoming = torch.randn(2, 5, 30, generator=draw)
    found = exact_product(states, weight)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), states.double() @ weight.double().T, rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(found, states, incoming)
    wanted = incoming.double() @ weight.double()
    assert gradient.dtype == dtype
    digits = 2**-8 if dtype == torch.bfloat16 else 1e-6
    assert torch.allclose(gradient.double(), wanted, rtol=digits, atol=1e-5)
