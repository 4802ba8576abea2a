"""LoRA against PEFT, and against closed forms."""

import math
from itertools import product

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from narrows.adapters import LoRA, SteeringVector, bank_of, load_adapter, square_root
from narrows.chat import collate
from narrows.errors import AdapterError, ConfigError
from narrows.models import ChatModel, Split, load_chat_model
from tiny_models import make_model

TARGETS = ("down_proj", "q_proj")


def random_lora(chat_model: ChatModel, rank: int = 3, seed: int = 0, **fields) -> LoRA:
    """A LoRA of two layers whose B is not zero."""
    generator = torch.Generator().manual_seed(seed)
    fields = {"alpha": 8.0} | fields
    fresh = LoRA.fresh(chat_model, rank=rank, targets=TARGETS, layers=(1, 2), seed=seed, **fields)
    return fresh.with_tensors(
        {name: torch.randn(one.shape, generator=generator) * 0.1 for name, one in fresh.tensors().items()}
    )


def dense(lora: LoRA) -> dict[str, torch.Tensor]:
    """s·B·A of each module, fp64."""
    return {name: lora.scaling * (b.double() @ a.double()) for name, (a, b) in lora.factors.items()}


@pytest.fixture
def batch(chat_model, conversations):
    rows = [chat_model.renderer.render(row) for row in conversations]
    return collate(rows, chat_model.pad_id)


def logits(model, batch) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=batch.input_ids, attention_mask=batch.attention_mask).logits


@pytest.mark.parametrize(("rank", "rslora"), product((1, 4), (True, False)))
def test_it_acts_as_pefts_lora_does(tiny_model_dir, batch, rank, rslora):
    chat_model = load_chat_model(tiny_model_dir, device="cpu")
    lora = random_lora(chat_model, rank, rslora=rslora, alpha=8.0)
    with lora.attach(chat_model):
        ours = logits(chat_model.model, batch)
    config = peft.LoraConfig(
        r=rank, lora_alpha=8, use_rslora=rslora, target_modules=list(TARGETS), layers_to_transform=[1, 2]
    )
    model = peft.get_peft_model(load_chat_model(tiny_model_dir, device="cpu").model, config)
    weights = model.state_dict()
    for name, (a, b) in lora.factors.items():
        place = f"base_model.model.model.layers.{name}"
        weights[f"{place}.lora_A.default.weight"].copy_(a)
        weights[f"{place}.lora_B.default.weight"].copy_(b)
    assert sum("lora_A" in name for name in weights) == len(lora.factors) == 4
    assert torch.equal(logits(model, batch), ours)


def test_it_acts_as_the_weights_it_stands_for(tiny_model_dir, chat_model, batch):
    lora = random_lora(chat_model)
    with lora.attach(chat_model):
        ours = logits(chat_model.model, batch)
    changed = load_chat_model(tiny_model_dir, device="cpu").model.double()
    for name, change in dense(lora).items():
        layer, _, path = name.partition(".")
        changed.model.layers[int(layer)].get_submodule(path).weight.data += change
    assert torch.allclose(ours.double(), logits(changed, batch), atol=1e-4)
    assert not torch.allclose(ours, logits(chat_model.model, batch), atol=1e-2)


def test_switched_off_the_model_is_itself_bit_for_bit_and_nested_ones_add_up(chat_model, batch):
    before = logits(chat_model.model, batch)
    one, other = random_lora(chat_model, seed=1), random_lora(chat_model, seed=2)
    with one.attach(chat_model), other.attach(chat_model.model):
        both = logits(chat_model.model, batch)
    with LoRA(
        {
            name: (torch.cat([a, other.factors[name][0]]), torch.cat([b, other.factors[name][1]], dim=1))
            for name, (a, b) in one.factors.items()
        },
        alpha=one.scaling * math.sqrt(6),
    ).attach(chat_model):
        assert torch.allclose(logits(chat_model.model, batch), both, atol=1e-5)
    with LoRA.fresh(chat_model).attach(chat_model):
        assert torch.equal(logits(chat_model.model, batch), before)
    assert torch.equal(logits(chat_model.model, batch), before)


def test_the_cut_model_and_many_variants_in_one_pass_give_the_same(chat_model, batch):
    variants = [
        random_lora(chat_model, rank, seed, alpha=4.0 * seed + 1) for rank, seed in ((3, 0), (1, 1), (2, 2))
    ]
    split = Split(chat_model.model, variants[0].depth)
    with torch.no_grad():
        entering = split.prefix(batch.input_ids, batch.attention_mask)
        together = bank_of(variants, [len(entering)] * 3)
        with together.within(split):
            final = split.suffix(together.enter(entering.repeat(3, 1, 1)), batch.attention_mask.repeat(3, 1))
        found = chat_model.model.lm_head(final).chunk(3)
        for variant, ours in zip(variants, found, strict=True):
            with variant.attach(chat_model):
                whole = logits(chat_model.model, batch)
            with variant.within(split):
                apart = chat_model.model.lm_head(split.suffix(variant.enter(entering), batch.attention_mask))
            real = batch.attention_mask.bool()
            assert torch.equal(apart[real], whole[real])
            assert torch.allclose(ours[real], whole[real], atol=1e-5)


def test_norms_and_cosines_are_those_of_the_products(chat_model):
    one, other = random_lora(chat_model, 3, 1), random_lora(chat_model, 2, 2)
    left, right = dense(one), dense(other)
    for name, change in left.items():
        assert one.norms[name] == pytest.approx(float(change.norm()), rel=1e-9)
    assert one.effective_norm == pytest.approx(math.sqrt(sum(float(x.norm()) ** 2 for x in left.values())))
    assert one.norm == pytest.approx(one.effective_norm / one.scaling)
    inner = sum(float((left[name] * right[name]).sum()) for name in left)
    assert one.cosine(other) == pytest.approx(inner / one.effective_norm / other.effective_norm, abs=1e-9)
    assert one.cosine(one.scaled(2.5)) == pytest.approx(1)
    assert one.cosine(LoRA.fresh(chat_model, targets=TARGETS, layers=(1, 2))) == 0


@pytest.mark.parametrize(("rslora", "scaling"), [(True, 8 / 2), (False, 8 / 4)])
def test_the_scale_is_alpha_by_the_root_of_the_rank_or_by_the_rank(chat_model, rslora, scaling):
    assert random_lora(chat_model, 4, rslora=rslora, alpha=8.0).scaling == scaling


def test_it_is_scaled_by_b_alone(chat_model):
    lora = random_lora(chat_model)
    for scaled in (lora.scaled(3.0), lora.scaled_to(3 * lora.effective_norm)):
        assert scaled.effective_norm == pytest.approx(3 * lora.effective_norm)
        for name, (a, b) in lora.factors.items():
            assert torch.equal(scaled.factors[name][0], a)
            assert torch.allclose(scaled.factors[name][1], 3 * b)


@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.8, 1.0])
def test_noise_is_orthogonal_on_each_factor_and_keeps_its_norm(chat_model, epsilon):
    lora = random_lora(chat_model)
    noisy = lora.perturbed(epsilon, torch.Generator().manual_seed(1))
    for name, tensor in lora.tensors().items():
        found = noisy.tensors()[name]
        cosine = torch.nn.functional.cosine_similarity(found.flatten(), tensor.flatten(), dim=0)
        assert float(cosine) == pytest.approx(math.sqrt(1 - epsilon**2), abs=1e-5)
        assert float(found.norm()) == pytest.approx(float(tensor.norm()), rel=1e-5)


def test_a_random_control_has_the_norms_of_each_factor(chat_model):
    lora = random_lora(chat_model)
    drawn = lora.random_like(torch.Generator().manual_seed(1))
    for name, tensor in lora.tensors().items():
        assert float(drawn.tensors()[name].norm()) == pytest.approx(float(tensor.norm()), rel=1e-5)
    assert abs(drawn.cosine(lora)) < 0.5
    one = torch.zeros(32, 32)
    one[5, 5] = 1.0
    aimed = lora.random_like(torch.Generator().manual_seed(1), root=square_root(one))
    _, b = aimed.factors["1.mlp.down_proj"]
    assert float(b[5].norm()) == pytest.approx(float(b.norm()))


def test_it_is_saved_and_read_to_the_bit(chat_model, tmp_path):
    lora = random_lora(chat_model, rslora=False, alpha=7.0)
    lora.metadata["behaviour"] = "sea"
    found = load_adapter(lora.save(tmp_path / "a.safetensors"))
    assert isinstance(found, LoRA)
    assert (found.alpha, found.rslora, found.metadata) == (7.0, False, {"behaviour": "sea"})
    assert all(torch.equal(found.tensors()[name], one) for name, one in lora.tensors().items())
    assert list(found.factors) == list(lora.factors)


def test_a_file_of_another_kind_or_with_something_missing_is_refused(chat_model, tmp_path):
    vector = SteeringVector(torch.ones(32), 1).save(tmp_path / "v.safetensors")
    with pytest.raises(AdapterError, match=r"format 'narrows.steering-vector/1' where 'narrows.lora/1'"):
        LoRA.load(vector)
    path = random_lora(chat_model).save(tmp_path / "a.safetensors")
    tensors = load_file(path)
    tensors.pop("1.mlp.down_proj.lora_B")
    save_file(tensors, path)
    with pytest.raises(AdapterError, match=r"is not the file that a\.json was written for"):
        load_adapter(path)


def test_a_fresh_one_is_drawn_as_peft_draws_it_and_does_nothing(chat_model):
    lora = LoRA.fresh(chat_model, rank=2, targets=("down_proj",), layers=(3,), seed=5)
    ((name, (a, b)),) = lora.factors.items()
    assert name == "3.mlp.down_proj"
    assert (a.shape, b.shape) == ((2, 64), (32, 2))
    assert not b.any()
    assert float(a.abs().max()) <= 1 / 8
    assert float(a.abs().max()) > 0.9 / 8
    assert lora.effective_norm == 0
    assert torch.equal(LoRA.fresh(chat_model, rank=2, layers=(3,), seed=5).factors[name][0], a)
    assert not torch.equal(LoRA.fresh(chat_model, rank=2, layers=(3,), seed=6).factors[name][0], a)


def test_what_does_not_fit_is_refused(chat_model):
    with pytest.raises(AdapterError, match=r"layer 9 is out of range: .* 0 to 3"):
        LoRA.fresh(chat_model, layers=(9,))
    with pytest.raises(
        AdapterError, match=r"no linear module 'proj'; its linear modules are self_attn.q_proj"
    ):
        LoRA.fresh(chat_model, targets=("proj",))
    with pytest.raises(ConfigError, match="rank is 0"):
        LoRA.fresh(chat_model, rank=0)
    with pytest.raises(ConfigError, match="alpha is 0"):
        LoRA.fresh(chat_model, alpha=0)
    wider = ChatModel.from_parts(make_model(intermediate_size=48), chat_model.tokenizer, "wider")
    with (
        pytest.raises(AdapterError, match=r"takes 64 and gives 32 .* 48 and 32 in the model"),
        random_lora(chat_model).attach(wider),
    ):
        pass
    with pytest.raises(AdapterError, match="cannot be scaled to a norm"):
        LoRA.fresh(chat_model).scaled_to(1.0)
    with pytest.raises(AdapterError, match="different modules cannot be compared"):
        random_lora(chat_model).cosine(LoRA.fresh(chat_model))
    with pytest.raises(AdapterError, match="different kinds cannot share a pass: lora, steering"):
        bank_of([random_lora(chat_model), SteeringVector.zeros(chat_model, 1)], [1, 1])
    with pytest.raises(AdapterError, match=r"\(rank, in\) and \(out, rank\)"):
        LoRA({"1.mlp.down_proj": (torch.zeros(2, 3), torch.zeros(3, 1))})
    with pytest.raises(AdapterError, match="is no module of a decoder layer"):
        LoRA({"mlp.down_proj": (torch.zeros(1, 3), torch.zeros(3, 1))})
