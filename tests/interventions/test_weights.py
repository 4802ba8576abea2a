"""Orthogonalised weights against the hook, and the checkpoint against the model in memory."""

import json
from pathlib import Path

import pytest
import torch
from intervention_helpers import (
    NAMES,
    POST_NORM,
    chat_model_of,
    directions,
    hooks_of,
    logits,
    recorded,
    relative_projection,
    some_ids,
)

from families import family
from narrows.adapters import Direction
from narrows.errors import AdapterError, ModelError, RunFolderError
from narrows.interventions import Ablation, orthogonalise, save_checkpoint
from narrows.models import ChatModel, Head, load_chat_model
from tiny_models import make_model, make_tokenizer

PLAIN = [name for name in NAMES if name not in POST_NORM]


@pytest.mark.parametrize("name", PLAIN)
def test_orthogonalised_is_ablated_at_the_writes(name: str):
    chat_model, some = chat_model_of(name), directions(2)
    ids = some_ids(chat_model)
    plain = logits(chat_model, ids)
    with Ablation(some, "writes").attach(chat_model):
        wanted = logits(chat_model, ids)
    new = orthogonalise(chat_model, some)
    torch.testing.assert_close(logits(new, ids), wanted, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(wanted, plain, atol=1e-2)
    assert torch.equal(logits(chat_model, ids), plain), "the old model stays as it is"
    with recorded(new) as seen:
        logits(new, ids)
    for place, streams in seen.items():
        assert max((relative_projection(one, some) for one in streams), default=0.0) < 1e-6, place


def test_it_shares_what_does_not_change_and_has_an_id_of_its_own():
    chat_model = chat_model_of("qwen2")
    new = orthogonalise(chat_model, directions())
    old = dict(chat_model.model.named_parameters())
    changed = {name for name, one in new.model.named_parameters() if one is not old[name]}
    per_layer = ("self_attn.o_proj.weight", "mlp.down_proj.weight")
    assert changed == {
        "model.embed_tokens.weight",
        *(f"model.layers.{layer}.{name}" for layer in range(4) for name in per_layer),
    }
    assert new.id != chat_model.id
    assert not any(one.requires_grad for one in new.model.parameters())
    assert hooks_of(new) == hooks_of(chat_model)


def test_weights_are_those_of_fp64_rounded_once():
    chat_model, some = chat_model_of("gpt_neox"), directions(2)
    layer = orthogonalise(chat_model, some).model.gpt_neox.layers[2].attention.dense
    old = chat_model.model.gpt_neox.layers[2].attention.dense
    q, _ = torch.linalg.qr(torch.stack([one.unit.double() for one in some]).T)
    for found, before in ((layer.weight, old.weight), (layer.bias, old.bias)):
        wanted = before.double() - q @ (q.T @ before.double())
        torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=1e-9)
        assert found.dtype == before.dtype


@pytest.mark.parametrize("name", ["qwen2", "cohere", "gpt_neox", "granite"])
def test_the_checkpoint_is_the_model_in_memory(name: str, tmp_path: Path):
    chat_model = chat_model_of(name)
    new = orthogonalise(chat_model, directions(2))
    folder = save_checkpoint(new, tmp_path / "without", {"directions": ["d0", "d1"]})
    again = load_chat_model(folder, device="cpu")
    ids = some_ids(chat_model)
    assert torch.equal(logits(again, ids), logits(new, ids))
    assert again.id == new.id
    assert again.renderer.template_hash == chat_model.renderer.template_hash
    assert json.loads((folder / "orthogonalised.json").read_text()) == {"directions": ["d0", "d1"]}
    assert [one.name for one in tmp_path.iterdir()] == ["without"]
    assert not list(folder.glob("*.bin"))


def test_a_tied_head_keeps_the_embedding_as_it_was():
    model = make_model(tie_word_embeddings=True)
    chat_model = ChatModel.from_parts(model, make_tokenizer(), "tied")
    before = Head(model).weight.clone()
    new = orthogonalise(chat_model, directions())
    assert torch.equal(Head(new.model).weight, before)
    assert torch.equal(Head(model).weight, before)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    assert model.config.tie_word_embeddings
    assert not new.model.config.tie_word_embeddings
    unit = directions()[0].unit
    assert float((new.model.model.embed_tokens.weight @ unit).abs().max()) < 1e-6


def test_a_tied_head_stays_apart_when_it_is_loaded_again(tmp_path: Path):
    chat_model = ChatModel.from_parts(make_model(tie_word_embeddings=True), make_tokenizer(), "tied")
    new = orthogonalise(chat_model, directions())
    again = load_chat_model(save_checkpoint(new, tmp_path / "a"), device="cpu")
    assert torch.equal(logits(again, some_ids(new)), logits(new, some_ids(new)))
    assert again.id == new.id
    once_more = orthogonalise(again, directions())
    torch.testing.assert_close(logits(once_more, some_ids(new)), logits(new, some_ids(new)))


@pytest.mark.parametrize("name", POST_NORM)
def test_where_a_norm_follows_it_is_refused_with_the_hook_as_the_way_out(name: str):
    with pytest.raises(AdapterError, match=r"a norm follows.*Ablation\(…, site='writes'\)"):
        orthogonalise(chat_model_of(name), directions())


def test_what_cannot_be_changed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    chat_model = chat_model_of("llama")
    with pytest.raises(AdapterError, match="width 16"):
        orthogonalise(chat_model, Direction.of(torch.ones(16), 1))
    with pytest.raises(AdapterError, match="experts are mixed"):
        experts = family("llama")
        mlp = experts.model.layers[1].mlp
        monkeypatch.setattr(mlp, "forward", lambda x: mlp.down_proj(x) * 2)
        orthogonalise(ChatModel.from_parts(experts, make_tokenizer(), "experts"), directions())
    positions = family("llama")
    monkeypatch.setattr(positions.model.embed_tokens, "forward", lambda ids: torch.randn(*ids.shape, 32))
    with pytest.raises(AdapterError, match="not its token embedding alone"):
        orthogonalise(ChatModel.from_parts(positions, make_tokenizer(), "positions"), directions())
    quantised = family("llama")
    facts = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    monkeypatch.setattr(quantised.config, "quantization_config", facts, raising=False)
    with pytest.raises(ModelError, match=r"quantised \(4bit\)"):
        orthogonalise(ChatModel.from_parts(quantised, make_tokenizer(), "4bit"), directions())
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match="not empty"):
        save_checkpoint(chat_model, tmp_path / "there")
    assert [one.name for one in (tmp_path / "there").iterdir()] == ["notes.txt"]
