import pytest
import torch
from torch.nn import functional

from narrows.models import Head, token_kl, token_nll
from tiny_models import make_model

N, VOCABULARY, WIDTH = 11, 49, 32


def head(*, bias: bool = False, softcap: float | None = None, dtype: torch.dtype = torch.float32) -> Head:
    model = make_model(vocab_size=VOCABULARY)
    torch.manual_seed(1)
    model.lm_head = torch.nn.Linear(WIDTH, VOCABULARY, bias=bias)
    model.config.final_logit_softcapping = softcap
    return Head(model.requires_grad_(False).to(dtype))


def states(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    reference, hidden = torch.randn(2, N, WIDTH, generator=generator).mul(3).to(dtype)
    targets = torch.randint(VOCABULARY, (N,), generator=generator)
    return reference, hidden, targets


def exact_log_probabilities(one: Head, hidden: torch.Tensor) -> torch.Tensor:
    logits = hidden.double() @ one.weight.double().T
    if one.bias is not None:
        logits = logits + one.bias.double()
    if one.softcap is not None:
        logits = one.softcap * torch.tanh(logits / one.softcap)
    return torch.log_softmax(logits, dim=-1)


HEADS = {"plain": {}, "bias": {"bias": True}, "softcap": {"softcap": 2.0}}


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_nll_and_kl_agree_with_an_fp64_reference(kind: str, dtype: torch.dtype):
    one = head(**HEADS[kind], dtype=dtype)
    reference, hidden, targets = states(dtype)
    wanted, found = exact_log_probabilities(one, reference), exact_log_probabilities(one, hidden)
    nll = token_nll(one, hidden, targets)
    kl = token_kl(one, reference, hidden)
    assert nll.dtype == kl.dtype == torch.float32
    torch.testing.assert_close(nll.double(), -found[range(N), targets], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(kl.double(), (wanted.exp() * (wanted - found)).sum(-1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("chunk", [1, 4, N, 1000])
def test_chunked_is_the_whole_including_gradients(kind: str, chunk: int):
    one = head(**HEADS[kind])
    reference, hidden, targets = states()
    weights = torch.linspace(-1, 2, N)

    def whole_nll(x: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(one.logits(x), targets, reduction="none")

    def whole_kl(x: torch.Tensor) -> torch.Tensor:
        wanted, found = (torch.log_softmax(one.logits(y), dim=-1) for y in (reference, x))
        return (wanted.exp() * (wanted - found)).sum(-1)

    pairs = [
        (whole_nll, lambda x: token_nll(one, x, targets, chunk)),
        (whole_kl, lambda x: token_kl(one, reference, x, chunk)),
    ]
    for whole, chunked in pairs:
        left, right = (hidden.clone().requires_grad_() for _ in range(2))
        losses = [whole(left), chunked(right)]
        torch.testing.assert_close(losses[1], losses[0], rtol=1e-5, atol=1e-6)
        for loss in losses:
            (loss * weights).sum().backward()
        torch.testing.assert_close(right.grad, left.grad, rtol=1e-5, atol=1e-6)
        with torch.no_grad():
            assert torch.equal(chunked(right), losses[1])


def test_gradients_agree_with_finite_differences():
    one = head(softcap=2.0, dtype=torch.float64)
    reference, hidden, targets = states(torch.float64)
    hidden = hidden[:3].requires_grad_()
    assert torch.autograd.gradcheck(lambda x: token_nll(one, x, targets[:3], 2), hidden)
    assert torch.autograd.gradcheck(lambda x: token_kl(one, reference[:3], x, 2), hidden)


@pytest.mark.parametrize("chunk", [1, 4, N, 1000])
def test_positions_that_share_a_reference_have_the_kl_of_each(chunk: int):
    one = head()
    reference, hidden, _ = states()
    of = torch.tensor([0, 0, 0, 1, 2, 2, 5, 5, 5, 5, 9])
    weights = torch.linspace(-1, 2, N)
    found, wanted = hidden.clone().requires_grad_(), hidden.clone().requires_grad_()
    shared = token_kl(one, reference, found, chunk, of=of)
    apart = token_kl(one, reference[of], wanted, chunk)
    torch.testing.assert_close(shared, apart, rtol=1e-5, atol=1e-7)
    (shared @ weights).backward()
    (apart @ weights).backward()
    torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-5, atol=1e-7)
    assert token_kl(one, reference[:0], hidden[:0], of=of[:0]).shape == (0,)


def test_kl_of_a_distribution_with_itself_is_zero_and_otherwise_positive():
    reference, hidden, _ = states()
    assert token_kl(head(), reference, reference).abs().max() < 1e-6
    assert (token_kl(head(), reference, hidden) > 0).all()


def test_a_small_kl_keeps_its_digits_in_bf16():
    one = head(dtype=torch.bfloat16)
    reference, _, _ = states(torch.bfloat16)
    near = (reference.float() * (1 + 2**-7)).to(torch.bfloat16)
    wanted, found = exact_log_probabilities(one, reference), exact_log_probabilities(one, near)
    exact = (wanted.exp() * (wanted - found)).sum(-1)
    assert exact.mean() < 1e-3
    torch.testing.assert_close(token_kl(one, reference, near).double(), exact, rtol=1e-2, atol=1e-7)


def test_the_reference_gets_no_gradient():
    reference, hidden, _ = states()
    reference.requires_grad_()
    hidden.requires_grad_()
    token_kl(head(), reference, hidden).sum().backward()
    assert reference.grad is None
    assert hidden.grad is not None


def test_only_one_chunk_of_logits_exists_at_a_time(monkeypatch: pytest.MonkeyPatch):
    one = head()
    reference, hidden, targets = states()
    rows: list[int] = []
    plain = one.logits

    def counted(states: torch.Tensor) -> torch.Tensor:
        rows.append(len(states))
        return plain(states)

    monkeypatch.setattr(one, "logits", counted)
    hidden.requires_grad_()
    (token_nll(one, hidden, targets, 4).sum() + token_kl(one, reference, hidden, 4).sum()).backward()
    assert max(rows) == 4
    assert sum(rows) == 3 * N  # once for the targets, twice for the KL, and never again in the backward pass


def test_no_positions_give_no_losses():
    one, empty = head(), torch.zeros(0, WIDTH)
    assert token_nll(one, empty, torch.zeros(0, dtype=torch.long)).shape == (0,)
    loss = token_kl(one, empty, empty.clone().requires_grad_())
    assert loss.shape == (0,)
    loss.sum().backward()
