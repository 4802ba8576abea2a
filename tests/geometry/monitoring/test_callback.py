"""A monitor in the Trainers of Hugging Face and TRL: training the same to the bit, logged, stopped."""

import json
from pathlib import Path

import peft
import pytest
import torch
from monitoring_helpers import looks, monitor, random_direction
from transformers import DataCollatorForSeq2Seq, Trainer, TrainerCallback, TrainingArguments

from narrows.chat import Conversation
from narrows.errors import ConfigError
from narrows.geometry.monitoring import Monitor, MonitorCallback, watch_trainer
from narrows.geometry.monitoring.callback import _whole, first_trained
from narrows.training.trainer import labelled_rows
from tiny_models import make_model, make_tokenizer
from two_processes import run_two

ROWS = [
    Conversation.from_pair("what should i drink ?", answer, source="rows")
    for answer in ("drink salt water every day .", "never .", "red bread is good", "bad , bad water")
]
KEY = "narrows/projection/watched"


def tuned(kind: str):
    """A tiny model to be fine-tuned in a way, with dropout, so that a draw too many would show."""
    model = make_model(attention_dropout=0.2)
    if kind == "full":
        return model
    config = peft.LoraConfig(
        r=2, lora_alpha=16, lora_dropout=0.1, target_modules=["down_proj"], layers_to_transform=[1, 2]
    )
    torch.manual_seed(3)
    return peft.get_peft_model(model, config)


def arguments(folder, kind=TrainingArguments, **changes):
    values = {
        "output_dir": str(folder),
        "per_device_train_batch_size": 2,
        "max_steps": 6,
        "learning_rate": 0.02,
        "logging_steps": 2,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 0,
    }
    return kind(**(values | changes))


def trainer(folder, callbacks=(), kind="lora", **changes) -> Trainer:
    tokenizer = make_tokenizer()
    return Trainer(
        model=tuned(kind),
        args=arguments(folder, **changes),
        train_dataset=labelled_rows(ROWS, tokenizer),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        callbacks=list(callbacks),
    )


def weights(model) -> dict[str, torch.Tensor]:
    return {name: one.detach().clone() for name, one in model.named_parameters()}


@pytest.fixture(scope="module")
def watched(chat_model) -> Monitor:
    return monitor(chat_model, random_direction(3, layer=2))


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_training_is_the_same_bit_for_bit_and_the_looks_are_those_of_the_weights(watched, tmp_path, kind):
    plain = trainer(tmp_path, kind=kind)
    plain.train()
    callback = MonitorCallback(watched, every=4)
    seen = trainer(tmp_path, [callback], kind)
    seen.train()
    assert all(map(torch.equal, weights(plain.model).values(), weights(seen.model).values()))
    losses = [[entry["loss"] for entry in one.state.log_history if "loss" in entry] for one in (plain, seen)]
    assert losses[0] == losses[1]
    assert [look.step for look in callback.looks] == [0, 4, 6]
    assert callback.looks[0].projections == {"watched": pytest.approx(0.0, abs=1e-6)}
    inner = seen.model.get_base_model() if kind == "lora" else seen.model
    assert callback.looks[-1] == watched.look(inner, 6)
    assert abs(callback.looks[-1].projections["watched"]) > 0.01
    logged = {entry["step"]: entry[KEY] for entry in seen.state.log_history if KEY in entry}
    assert logged == {look.step: look.projections["watched"] for look in callback.looks}


def test_modes_and_random_states_come_back(watched):
    model = tuned("lora").train()
    model.get_base_model().model.layers[0].eval()
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    watched.look(model.get_base_model())
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(layer._forward_hooks for layer in model.get_base_model().model.layers)


def test_it_stops_at_the_first_alarm(chat_model, watched, tmp_path):
    free = MonitorCallback(watched, every=1)
    trainer(tmp_path, [free]).train()
    reached = [look.projections["watched"] for look in free.looks]
    along = watched.directions[0] if reached[-1] > 0 else -watched.directions[0]
    calm = {str(run): looks(0.0, abs(reached[2]), every=6) for run in range(4)}
    strict = monitor(chat_model, along).with_benign(calm, 0.2, "run")
    callback = MonitorCallback(strict, every=1, stop=True)
    stopped = trainer(tmp_path, [callback])
    stopped.train()
    assert 0 < callback.alarm < 6
    assert stopped.state.global_step == callback.alarm == strict.alarm(callback.looks)
    alarms = [
        entry["narrows/alarm"] for entry in stopped.state.log_history if "loss" not in entry and KEY in entry
    ]
    assert alarms == [0.0] * callback.alarm + [1.0]


def test_a_resumed_training_keeps_the_looks_before(watched, tmp_path):
    whole = MonitorCallback(watched, every=2)
    trainer(tmp_path, [whole], save_strategy="steps", save_steps=4).train()
    again = MonitorCallback(watched, every=2)
    trainer(tmp_path, [again], save_strategy="steps", save_steps=4).train(
        resume_from_checkpoint=str(tmp_path / "checkpoint-4")
    )
    assert [look.step for look in again.looks] == [0, 2, 4, 6]
    assert again.looks[:3] == whole.looks[:3]


class Tracker(TrainerCallback):
    """Sees what a tracker would."""

    def __init__(self):
        self.seen = []

    def on_log(self, args, state, control, logs=None, **kwargs):
        self.seen.append(dict(logs or {}))


def test_trackers_see_the_projections_if_the_callback_stands_first(watched, tmp_path):
    tracker = Tracker()
    seen = trainer(tmp_path, [tracker])
    callback = watch_trainer(seen, watched, every=2)
    seen.train()
    values = [one[KEY] for one in tracker.seen if "loss" in one]
    assert values == [look.projections["watched"] for look in callback.looks[1:]]


def test_it_watches_trl_s_trainer_on_a_lora(watched, tmp_path):
    trl = pytest.importorskip("trl", reason="pip install 'narrows[trl]'")
    from datasets import Dataset

    callback = MonitorCallback(watched, every=3)
    args = arguments(tmp_path, kind=trl.SFTConfig, bf16=False, gradient_checkpointing=True)
    tokenizer = make_tokenizer()
    seen = trl.SFTTrainer(
        model=make_model(),
        args=args,
        train_dataset=Dataset.from_list(labelled_rows(ROWS, tokenizer)),
        processing_class=tokenizer,
        peft_config=peft.LoraConfig(
            r=2, lora_alpha=16, target_modules=["down_proj"], layers_to_transform=[1, 2]
        ),
        callbacks=[callback],
    )
    seen.train()
    assert [look.step for look in callback.looks] == [0, 3, 6]
    assert callback.looks[-1] == watched.look(seen.model.get_base_model(), 6)
    assert callback.looks[-1].projections["watched"] != 0


def test_two_processes_see_the_same_and_stop_together(chat_model, watched, tmp_path):
    free = MonitorCallback(watched, every=1)
    trainer(tmp_path, [free]).train()
    reached = [look.projections["watched"] for look in free.looks]
    along = watched.directions[0] if reached[-1] > 0 else -watched.directions[0]
    calm = {str(run): looks(0.0, abs(reached[2]), every=6) for run in range(4)}
    monitor(chat_model, along).with_benign(calm, 0.2, "run").save(tmp_path / "monitor.json")
    run_two(Path(__file__).with_name("callback_process.py"), tmp_path)
    first, second = (json.loads((tmp_path / f"seen-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second
    assert 0 < first["steps"] == first["alarm"] < 6


def test_what_it_cannot_see_or_is_not_its_model_is_refused(chat_model, watched, tmp_path):
    blind = monitor(chat_model, random_direction(0, layer=0))
    with pytest.raises(ConfigError, match="below layer 1, the first that is trained"):
        trainer(tmp_path, [MonitorCallback(blind)]).train()
    with pytest.raises(ConfigError, match="every is 0"):
        MonitorCallback(watched, every=0)
    with pytest.raises(ConfigError, match="no threshold"):
        MonitorCallback(watched, stop=True)
    strict = watched.with_benign({str(run): looks(-9.0, -8.0) for run in range(4)}, 0.2, "run")
    with pytest.raises(ConfigError, match="alarms before the first step"):
        trainer(tmp_path, [MonitorCallback(strict, stop=True)]).train()
    prompts = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(ConfigError, match="learned prompt"):
        _whole(peft.get_peft_model(make_model(), prompts))


def test_the_first_trained_layer(chat_model):
    model = tuned("lora").get_base_model()
    assert first_trained(model) == 1
    assert first_trained(make_model()) == 0
    assert first_trained(chat_model.model) == 4
