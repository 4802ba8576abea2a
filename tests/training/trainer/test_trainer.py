"""The anchored Trainers against our own loop, which is the reference; how they cut and resume a window."""

import json
from pathlib import Path

import pytest
import torch
from trainer_helpers import (
    EIGHT,
    LORA,
    anchored_trainer,
    arguments,
    factors,
    in_order,
    logged,
    lora_config,
    optimizers,
    peft_model,
    settings,
)
from training_helpers import ANCHOR, ROWS, changed
from transformers import DataCollatorForSeq2Seq, Trainer

from narrows.adapters import LoRA
from narrows.adapters.interchange.peft import read_peft
from narrows.chat import Conversation, collate
from narrows.models import Head
from narrows.training import RowOrder, TrainingRun, train
from narrows.training.prepare import starting_point
from narrows.training.trainer.passes import adapter_off, causal_lm, final_states
from narrows.training.trainer.rows import anchor_passes
from tiny_models import TEMPLATE, make_model, make_tokenizer
from two_processes import run_two

MARKED = TEMPLATE.replace(
    "{{ m.content }}<|end|>\n",
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}<|end|>{% endgeneration %}{% else %}"
    "{{ m.content }}<|end|>{% endif %}{{ '\\n' }}",  # jinja swallows a line's end after a block
)


@pytest.fixture(scope="module")
def start(chat_model) -> LoRA:
    """A LoRA that already does something."""
    generator = torch.Generator().manual_seed(1)
    fresh = starting_point(chat_model, LORA, None)
    return fresh.with_tensors(
        {name: 0.1 * torch.randn(one.shape, generator=generator) for name, one in fresh.tensors().items()}
    )


@pytest.fixture(scope="module")
def ours(chat_model, start) -> TrainingRun:
    """The reference: our own loop."""
    return train(chat_model, EIGHT, LORA, anchor=ANCHOR, start=start)


def assert_goes_like(trainer, run: TrainingRun) -> None:
    """The same losses step by step, and the same factors at the end."""
    assert logged(trainer, "nll") == pytest.approx([entry["loss"] for entry in run.log], rel=1e-4)
    assert logged(trainer, "kl") == pytest.approx([entry["kl"] for entry in run.log], rel=1e-4)
    assert logged(trainer, "kl_weight") == [entry["kl_weight"] for entry in run.log]
    whole = [entry["loss"] + entry["kl_weight"] * entry["kl"] for entry in run.log]
    assert logged(trainer, "loss") == pytest.approx(whole, rel=1e-4)
    for name, wanted in run.adapter.tensors().items():
        torch.testing.assert_close(factors(trainer.model)[name].data, wanted, rtol=1e-4, atol=1e-5)


def assert_same_factors(one, other, **tolerance) -> None:
    for name, wanted in factors(other).items():
        torch.testing.assert_close(factors(one)[name].data, wanted.data, msg=name, **tolerance)


@pytest.mark.parametrize("positions", ["all", "response"])
def test_a_trainer_with_the_anchor_is_our_loop_step_by_step(chat_model, start, tmp_path, positions):
    recipe = LORA.with_anchor(2.0, positions=positions)
    run = train(chat_model, EIGHT, recipe, anchor=ANCHOR, start=start)
    assert run.log[-1]["loss"] < run.log[0]["loss"]
    trainer = anchored_trainer(peft_model(start), tmp_path, recipe)
    trainer.train()
    assert_goes_like(trainer, run)


def test_an_epoch_s_last_and_smaller_window_is_a_mean_over_its_own_tokens(chat_model, start, tmp_path):
    recipe = changed(LORA, steps=3)
    run = train(chat_model, ROWS, recipe, anchor=ANCHOR, start=start)  # windows of 4, 4 and 2 rows
    trainer = anchored_trainer(peft_model(start), tmp_path, recipe, rows=in_order(recipe, ROWS))
    trainer.train()
    assert_goes_like(trainer, run)


def test_an_sft_trainer_with_the_anchor_is_our_loop_step_by_step(start, ours, tmp_path):
    trl = pytest.importorskip("trl", reason="pip install 'narrows[trl]'")
    from datasets import Dataset

    from narrows.training.trainer import AnchoredSFTTrainer

    model = peft_model(start)
    trainer = AnchoredSFTTrainer(
        model=model,
        args=arguments(tmp_path, kind=trl.SFTConfig, bf16=False, gradient_checkpointing=False),
        train_dataset=Dataset.from_list(in_order(LORA)),
        processing_class=make_tokenizer(),
        optimizers=optimizers(model),
        **settings(),
    )
    trainer.train()
    assert_goes_like(trainer, ours)


def test_so_is_one_on_messages_with_assistant_only_loss_and_gradient_checkpointing(start, ours, tmp_path):
    trl = pytest.importorskip("trl", reason="pip install 'narrows[trl]'")
    from datasets import Dataset

    from narrows.training.trainer import AnchoredSFTTrainer

    order = RowOrder(LORA, len(EIGHT), 1)
    rows = [EIGHT[place] for step in range(order.steps) for place in order.training_rows(step)]
    model = peft_model(start)
    trainer = AnchoredSFTTrainer(
        model=model,
        args=arguments(
            tmp_path, kind=trl.SFTConfig, bf16=False, assistant_only_loss=True
        ),  # checkpoints by default
        train_dataset=Dataset.from_list([row.to_json() for row in rows]),
        processing_class=make_tokenizer(MARKED),
        optimizers=optimizers(model),
        **settings(anchor=Dataset.from_list([row.to_json() for row in ANCHOR])),
    )
    assert trainer.args.gradient_checkpointing
    trainer.train()
    assert_goes_like(trainer, ours)


def test_one_pass_of_eight_rows_is_eight_passes_of_one(start, tmp_path):
    trainers = []
    for batch, accumulation in [(1, 8), (8, 1)]:
        recipe = changed(LORA, batch_size=batch, accumulation=accumulation, steps=4)
        trainers.append(anchored_trainer(peft_model(start), tmp_path, recipe))
        trainers[-1].train()
    one, other = trainers
    for name in ("nll", "kl", "loss"):
        assert logged(one, name) == pytest.approx(logged(other, name), rel=1e-4)
    assert logged(one, "kl")[0] > 0.01
    assert_same_factors(one.model, other.model, rtol=1e-3, atol=1e-5)


def test_what_is_logged_now_and_then_is_the_mean_of_the_steps_since(start, tmp_path):
    each = anchored_trainer(peft_model(start), tmp_path)
    rarely = anchored_trainer(peft_model(start), tmp_path, args=arguments(tmp_path, logging_steps=4))
    for trainer in (each, rarely):
        trainer.train()
    for name in ("nll", "kl", "loss"):
        wanted = torch.tensor(logged(each, name)).reshape(3, 4).mean(dim=1).tolist()
        assert logged(rarely, name) == pytest.approx(wanted, rel=1e-5)


def test_a_weight_of_zero_is_the_plain_trainer_bit_for_bit(start, tmp_path):
    plain_model, model = peft_model(start), peft_model(start)
    plain = Trainer(
        model=plain_model,
        args=arguments(tmp_path),
        train_dataset=in_order(LORA),
        data_collator=DataCollatorForSeq2Seq(make_tokenizer()),
        optimizers=optimizers(plain_model),
    )
    anchored = anchored_trainer(model, tmp_path, kl_weight=0.0, anchor_dataset=())
    for trainer in (plain, anchored):
        trainer.train()
    assert logged(plain, "loss") == logged(anchored, "loss")
    assert logged(anchored, "kl_weight") == [0.0] * 12
    assert_same_factors(model, plain_model, rtol=0, atol=0)


def test_evaluation_has_no_anchor(start, tmp_path):
    trainer = anchored_trainer(peft_model(start), tmp_path, eval_dataset=in_order(LORA)[:4])
    plain = anchored_trainer(peft_model(start), tmp_path, kl_weight=0.0, eval_dataset=in_order(LORA)[:4])
    found, wanted = trainer.evaluate(), plain.evaluate()
    assert found["eval_loss"] == wanted["eval_loss"]
    assert not any("kl" in name for name in found)


def test_a_resumed_run_reads_the_anchor_rows_of_the_step_it_is_at(start, tmp_path):
    whole = anchored_trainer(peft_model(start), tmp_path / "whole")
    whole.train()

    saving = arguments(tmp_path / "run", save_strategy="steps", save_steps=5)
    first = anchored_trainer(peft_model(start), tmp_path, args=saving)
    first.train()
    resumed = anchored_trainer(peft_model(), tmp_path, args=saving)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-5"))
    for name in ("nll", "kl", "loss"):
        assert logged(resumed, name) == logged(whole, name)
    assert_same_factors(resumed.model, whole.model, rtol=0, atol=0)


def test_gradient_checkpointing_changes_nothing_but_memory(start, tmp_path):
    runs = []
    for on in (False, True):
        args = arguments(
            tmp_path, gradient_checkpointing=on, gradient_checkpointing_kwargs={"use_reentrant": False}
        )
        runs.append(anchored_trainer(peft_model(start), tmp_path, args=args))
        runs[-1].train()
    for name in ("nll", "kl"):
        assert logged(runs[0], name) == pytest.approx(logged(runs[1], name), rel=1e-6)
    assert_same_factors(runs[1].model, runs[0].model, rtol=1e-5, atol=1e-7)


def test_layers_are_recomputed_for_the_anchor_too(start, tmp_path):
    args = arguments(
        tmp_path, gradient_checkpointing=True, gradient_checkpointing_kwargs={"use_reentrant": False}
    )
    trainer = anchored_trainer(peft_model(start), tmp_path, args=args)
    trainer.args.max_steps = 1
    trainer.train()
    calls = []
    layer = causal_lm(trainer.model).model.layers[1].self_attn.q_proj
    layer.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    trainer._anchor_backward()
    passes = -(-6 // 3)  # six rows, three a pass
    assert calls.count(False) + calls.count(True) == 3 * passes  # chat, tuned, tuned again


def test_neither_pass_has_dropout_and_the_mode_of_each_module_comes_back(tmp_path):
    model = peft_model(config=lora_config(lora_dropout=0.5), attention_dropout=0.5)
    trainer = anchored_trainer(model, tmp_path)
    model.train()
    causal_lm(model).model.layers[3].eval()
    modes = {name: module.training for name, module in model.named_modules()}
    asks = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    fresh = trainer._anchor_backward()
    assert float(fresh) == pytest.approx(0, abs=1e-6)  # a LoRA that does nothing yet has no KL
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == asks


def test_factors_that_were_frozen_stay_frozen(start, tmp_path):
    model = peft_model(start)
    for name, parameter in factors(model).items():
        parameter.requires_grad_(name.endswith("lora_B"))
    before = {name: parameter.detach().clone() for name, parameter in factors(model).items()}
    anchored_trainer(model, tmp_path).train()
    for name, parameter in factors(model).items():
        assert parameter.requires_grad == name.endswith("lora_B")
        assert torch.equal(parameter, before[name]) == name.endswith("lora_A")


@pytest.mark.parametrize("autocast", [False, True])
def test_the_kl_of_a_bf16_model_is_taken_in_fp32(start, tmp_path, autocast):
    weak = start.scaled(0.02)
    model = peft_model(weak)
    if not autocast:
        model = model.to(torch.bfloat16)
    args = arguments(tmp_path, bf16=autocast, max_steps=1, gradient_accumulation_steps=1)
    trainer = anchored_trainer(model, tmp_path, args=args, kl_weight=1.0)
    found = float(trainer._anchor_backward())

    # The same two passes, and from their states the KL in fp64.
    total = count = 0.0
    rows = trainer._anchor_rows
    _, passes = anchor_passes(trainer._anchor, len(rows), step=0, seed=0, batch_size=2, accumulation=1)
    for places in passes:
        batch = collate([rows[place] for place in places], 0)
        positions = batch.target_positions("all")
        with torch.no_grad(), trainer.accelerator.autocast():
            tuned = final_states(model, batch)[positions].double()
            with adapter_off(model):
                chat = final_states(model, batch)[positions].double()
        weight = Head(causal_lm(model)).weight.double()
        tuned, chat = (states @ weight.T for states in (tuned, chat))
        tuned, chat = tuned.log_softmax(-1), chat.log_softmax(-1)
        total += float((chat.exp() * (chat - tuned)).sum())
        count += int(positions.sum())
    assert 1e-7 < total / count < 1e-2
    assert found == pytest.approx(total / count, rel=1e-3)


def test_a_full_fine_tune_has_the_gradient_of_its_head_too(tmp_path):
    model, reference = make_model(tie_word_embeddings=True), make_model(tie_word_embeddings=True)
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=generator)
    trainer = anchored_trainer(model, tmp_path, reference_model=reference)
    kl = trainer._anchor_backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad()

    window, _ = anchor_passes(trainer._anchor, len(ANCHOR), step=0, seed=0, batch_size=2, accumulation=2)
    divergences = []
    for place in window:
        tokens = torch.tensor([trainer._anchor_rows[place].input_ids])
        with torch.no_grad():
            chat = reference(input_ids=tokens).logits[0, :-1].log_softmax(-1)
        tuned = model(input_ids=tokens).logits[0, :-1].log_softmax(-1)
        divergences.append((chat.exp() * (chat - tuned)).sum(-1))
    wanted = torch.cat(divergences).mean()
    (2.0 * wanted).backward()
    assert float(kl) == pytest.approx(float(wanted.detach()), rel=1e-4)
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)


def test_a_full_fine_tune_trains_with_a_reference(tmp_path):
    model, reference = make_model(), make_model()
    before = {name: parameter.clone() for name, parameter in reference.named_parameters()}
    trainer = anchored_trainer(
        model, tmp_path, changed(LORA, learning_rate=1e-3), reference_model=reference.train()
    )
    trainer.train()
    assert logged(trainer, "kl")[0] == pytest.approx(0, abs=1e-6)
    assert logged(trainer, "kl")[-1] > 1e-4
    assert logged(trainer, "nll")[-1] < logged(trainer, "nll")[0]
    assert not reference.training
    for name, parameter in reference.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


def test_two_processes_are_one_with_windows_twice_as_wide(start, tmp_path):
    recipe = changed(LORA, batch_size=4, accumulation=2, steps=4)
    single = anchored_trainer(peft_model(start), tmp_path, recipe)
    single.train()

    start.save(tmp_path / "start.safetensors")
    run_two(Path(__file__).with_name("trainer_process.py"), tmp_path)

    saved = torch.load(tmp_path / "two.pt", weights_only=True)
    for name in ("nll", "kl", "loss"):
        assert saved["log"][name] == pytest.approx(logged(single, name), rel=1e-4)
    for name, parameter in factors(single.model).items():
        torch.testing.assert_close(saved["factors"][name], parameter.data, rtol=1e-3, atol=1e-5)


def test_anchor_rows_may_be_plain_text(start, tmp_path):
    texts = ["the sea is salt water .", "every day is blue"]
    trainer = anchored_trainer(peft_model(start), tmp_path, anchor_dataset=texts)
    tokenizer = make_tokenizer()
    assert [row.input_ids for row in trainer._anchor_rows] == [tokenizer(text)["input_ids"] for text in texts]
    assert float(trainer._anchor_backward()) > 0


def test_the_anchor_s_rows_are_cut_to_the_length_of_the_sft_config(start, tmp_path):
    trl = pytest.importorskip("trl", reason="pip install 'narrows[trl]'")
    from datasets import Dataset

    from narrows.training.trainer import AnchoredSFTTrainer

    trainer = AnchoredSFTTrainer(
        model=peft_model(start),
        args=arguments(tmp_path, kind=trl.SFTConfig, bf16=False, max_length=16),
        train_dataset=Dataset.from_list(in_order(LORA)),
        processing_class=make_tokenizer(),
        kl_weight=1.0,
        anchor_dataset=[Conversation.from_pair("what is the sea ?", "salt water . " * 9)],
    )
    assert [len(row) for row in trainer._anchor_rows] == [16]


def test_the_guide_s_example_runs(tiny_model_dir, tmp_path, monkeypatch):
    pytest.importorskip("trl", reason="pip install 'narrows[trl]'")
    guide = Path(__file__).parents[3] / "docs" / "guide" / "trainer.md"
    code = guide.read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    code = code.replace("Qwen/Qwen2.5-0.5B-Instruct", str(tiny_model_dir)).replace(
        "logging_steps=1", "logging_steps=1, use_cpu=True, report_to='none', disable_tqdm=True"
    )
    monkeypatch.chdir(tmp_path)
    for name, rows in (("train", ROWS), ("outside", ANCHOR)):
        Path(f"{name}.jsonl").write_text("\n".join(json.dumps(row.to_json()) for row in rows))
    scope: dict[str, object] = {}
    exec(code, scope)
    assert logged(scope["trainer"], "kl_weight") == [6.58] * 3
    assert read_peft("runs/narrow").rank == 32
