"""Rows end to end give what they give alone, in every family that can; the others say so."""

import pytest
import torch

from families import FAMILIES, family
from narrows.models import Packed, Split, can_pack, packing, recomputed

LENGTHS = (9, 1, 4, 7)
PACKED = Packed(LENGTHS)
WIDE = {"sliding_window": 9}
PACKABLE = [name for name in FAMILIES if name != "gemma2"]


def rows() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randint(3, 48, (length,), generator=generator) for length in LENGTHS]


def model_of(name: str):
    """A model whose sliding window, if it has one, is as long as the longest row."""
    return family(name, **(WIDE if FAMILIES[name].get("sliding_window") else {}))


def test_each_token_stands_where_it_stands_in_its_row():
    assert Packed((3, 1, 2)).position_ids.tolist() == [[0, 1, 2, 0, 0, 1]]
    assert Packed((3, 1, 2)).row_of.tolist() == [[0, 0, 0, 1, 2, 2]]


@pytest.mark.parametrize("name", PACKABLE)
@pytest.mark.parametrize("depth", [0, 2, 4])
@torch.no_grad()
def test_packed_rows_are_the_rows_alone(name: str, depth: int):
    model, alone = model_of(name), rows()
    assert can_pack(model, max(LENGTHS))
    split = Split(model, depth)
    found = split.suffix(split.prefix(torch.cat(alone)[None], PACKED), PACKED)[0]
    for row, mine in zip(alone, found.split(LENGTHS), strict=True):
        wanted = model.base_model(input_ids=row[None], use_cache=False).last_hidden_state[0]
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("short", [0, 1, 4, 7])
@torch.no_grad()
def test_long_rows_go_through_attention_alone(short: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(packing, "SHORT", short)
    split, alone, packed = Split(family("qwen2"), 0), rows(), Packed(LENGTHS)
    pieces = packed.pieces(torch.device("cpu"))
    together = [length for length in LENGTHS if length <= short]
    assert len(pieces.alone) == len(LENGTHS) - (len(together) if len(together) > 1 else 0)
    assert (pieces.padded is not None) == (len(together) > 1)
    found = split.suffix(split.prefix(torch.cat(alone)[None], packed), packed)[0]
    for row, mine in zip(alone, found.split(LENGTHS), strict=True):
        wanted = split.suffix(split.prefix(row[None], Packed((len(row),))), Packed((len(row),)))[0]
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["qwen2", "mistral", "gemma3_text"])
def test_a_window_shorter_than_a_row_is_padded_for(name: str):
    assert can_pack(model_of(name), 9)
    assert not can_pack(model_of(name), 10)


def test_a_soft_cap_or_another_attention_is_padded_for():
    assert not can_pack(family("gemma2", **WIDE), 5)
    model = family("llama")
    model.config._attn_implementation = "eager"
    assert not can_pack(model, 5)


def test_a_kind_of_layer_that_is_not_known_is_padded_for():
    model = family("llama")
    model.config.layer_types = ["full_attention", "linear_attention"] * 2
    assert not can_pack(model, 5)


@pytest.mark.parametrize("again", [False, True])
def test_gradients_keep_to_the_rows_too_even_where_layers_run_again(again: bool):
    split = Split(family("llama"), 1)
    hidden = split.prefix(torch.cat(rows())[None], PACKED)
    packed = hidden.clone().requires_grad_()
    if again:
        with recomputed(split):
            split.suffix(packed, PACKED).square().sum().backward()
    else:
        split.suffix(packed, PACKED).square().sum().backward()
    for mine, found in zip(hidden[0].split(LENGTHS), packed.grad[0].split(LENGTHS), strict=True):
        alone = mine[None].clone().requires_grad_()
        split.suffix(alone, torch.ones(1, len(mine))).square().sum().backward()
        torch.testing.assert_close(found, alone.grad[0], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_variants_of_packed_rows_are_stacked_as_they_are():
    split = Split(family("llama"), 2)
    hidden = split.prefix(torch.cat(rows())[None], PACKED)
    stacked = split.suffix(torch.cat([hidden, hidden + 1.0]), PACKED)
    for found, alone in zip(stacked, (hidden, hidden + 1.0), strict=True):
        torch.testing.assert_close(found, split.suffix(alone, PACKED)[0])


@torch.no_grad()
def test_afterwards_the_model_is_what_it_was():
    model = family("llama")
    split, ids, mask = Split(model, 2), rows()[0][None], torch.ones(1, 9)
    before = split.suffix(split.prefix(ids, mask), mask)
    with pytest.raises(RuntimeError, match="size"):
        split.prefix(ids, Packed((4,)))
    assert model.config._attn_implementation == "sdpa"
    assert torch.equal(split.suffix(split.prefix(ids, mask), mask), before)
