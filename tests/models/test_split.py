import pytest
import torch
from transformers import PreTrainedModel

from families import FAMILIES, family
from narrows.chat import Rendered, collate
from narrows.errors import AdapterError
from narrows.models import Head, Split
from tiny_models import make_model


def batch(side: str = "right"):
    generator = torch.Generator().manual_seed(0)
    lengths = (9, 4, 7)
    rows = [torch.randint(3, 48, (length,), generator=generator).tolist() for length in lengths]
    return collate([Rendered(row, [False] * len(row)) for row in rows], 0, side)


def final_hidden(model: PreTrainedModel, inputs) -> torch.Tensor:
    base = model.base_model
    return base(
        input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, use_cache=False
    ).last_hidden_state


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", FAMILIES)
def test_split_is_the_whole_model_bit_for_bit_at_every_depth(name: str, side: str):
    model, inputs = family(name), batch(side)
    wanted = final_hidden(model, inputs)
    for depth in range(5):
        split = Split(model, depth)
        hidden = split.prefix(inputs.input_ids, inputs.attention_mask)
        assert torch.equal(split.suffix(hidden, inputs.attention_mask), wanted), depth


@pytest.mark.parametrize("name", FAMILIES)
def test_the_head_gives_the_model_s_logits(name: str):
    model, inputs = family(name), batch()
    logits = model(input_ids=inputs.input_ids, attention_mask=inputs.attention_mask, use_cache=False).logits
    torch.testing.assert_close(Head(model).logits(final_hidden(model, inputs)), logits)


@pytest.mark.parametrize("depth", range(5))
def test_the_prefix_is_the_residual_stream_that_a_hook_reads(depth: int):
    model, inputs = make_model(), batch()
    seen = []
    place = model.model.layers[depth] if depth < 4 else model.model.norm
    handle = place.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    final_hidden(model, inputs)
    handle.remove()
    assert torch.equal(Split(model, depth).prefix(inputs.input_ids, inputs.attention_mask), seen[0])


def test_variants_stacked_along_the_rows_agree_with_each_alone():
    model, inputs = make_model(), batch()
    split = Split(model, 2)
    hidden = split.prefix(inputs.input_ids, inputs.attention_mask)
    stacked = split.suffix(torch.cat([hidden, hidden + 1.0]), inputs.attention_mask.repeat(2, 1))
    real = inputs.attention_mask.bool()
    for variant, alone in enumerate([hidden, hidden + 1.0]):
        found = stacked.unflatten(0, (2, -1))[variant]
        torch.testing.assert_close(found[real], split.suffix(alone, inputs.attention_mask)[real])


def test_the_suffix_has_the_whole_model_s_gradient_and_the_prefix_none():
    model, inputs = make_model().requires_grad_(False), batch()
    split = Split(model, 2)
    hidden = split.prefix(inputs.input_ids, inputs.attention_mask)
    assert not hidden.requires_grad
    hidden.requires_grad_()
    split.suffix(hidden, inputs.attention_mask).square().sum().backward()

    shift = torch.zeros_like(hidden, requires_grad=True)
    handle = model.model.layers[1].register_forward_hook(lambda module, arguments, output: output + shift)
    final_hidden(model, inputs).square().sum().backward()
    handle.remove()
    torch.testing.assert_close(hidden.grad, shift.grad)


def test_the_prefix_has_no_gradient_even_where_the_parameters_want_one():
    inputs = batch()
    assert not Split(make_model(), 2).prefix(inputs.input_ids, inputs.attention_mask).requires_grad


def test_a_split_shares_the_parameters_and_leaves_the_model_as_it_was():
    model, inputs = make_model().requires_grad_(False), batch()
    before = final_hidden(model, inputs)
    split = Split(model, 1)
    assert (len(model.model.layers), model.config.num_hidden_layers) == (4, 4)
    assert torch.equal(final_hidden(model, inputs), before)
    model.model.layers[3].mlp.down_proj.weight.data *= 2
    hidden = split.prefix(inputs.input_ids, inputs.attention_mask)
    assert torch.equal(split.suffix(hidden, inputs.attention_mask), final_hidden(model, inputs))


@pytest.mark.parametrize("depth", [-1, 5])
def test_a_depth_out_of_range_is_refused(depth: int):
    with pytest.raises(AdapterError, match=rf"depth {depth} is out of range.*0 to 4"):
        Split(make_model(), depth)
