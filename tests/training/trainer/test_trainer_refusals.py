"""What the anchored Trainers refuse: what is not the chat model, and what would not be the right mean."""

import builtins
import subprocess
import sys

import peft
import pytest
import torch
from torch import nn
from trainer_helpers import anchored_trainer, arguments, lora_config, peft_model

from narrows.errors import ConfigError
from narrows.training import trainer as trainer_module
from tiny_models import make_model


def test_a_full_fine_tune_without_a_reference_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"give reference_model .* or train an adapter"):
        anchored_trainer(make_model(), tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"modules_to_save": ["norm"]}, r"norm is trained as a whole \(modules_to_save"),
        ({"modules_to_save": ["lm_head"]}, "take lm_head out of"),
        ({"trainable_token_indices": [1, 2]}, "trained as a whole"),
        ({"target_modules": ["lm_head"], "layers_to_transform": None}, "LM head has an adapter"),
        ({"bias": "all"}, "trains biases of the base model"),
        ({"bias": "lora_only"}, "trains biases of the base model"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa', which changes the base weights"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora'"),
        ({"alora_invocation_tokens": [1]}, "activated LoRA"),
    ],
)
def test_adapters_without_which_the_model_is_not_the_chat_model_are_refused(tmp_path, changes, words):
    model = peft_model(config=lora_config(**changes))
    with pytest.raises(ConfigError, match=f"(?i){words}"):
        anchored_trainer(model, tmp_path)


def test_a_merged_adapter_is_refused_until_it_is_unmerged(tmp_path):
    model = peft_model()
    model.add_adapter("other", lora_config())
    model.base_model.merge_adapter(["other"])
    with pytest.raises(ConfigError, match=r"adapter merged into its weight \(other\).*unmerge_adapter"):
        anchored_trainer(model, tmp_path)
    model.base_model.unmerge_adapter()
    anchored_trainer(model, tmp_path)


def test_a_thawed_weight_of_the_chat_model_is_refused(tmp_path):
    model = peft_model()
    model.get_base_model().model.layers[3].mlp.up_proj.weight.requires_grad_()
    with pytest.raises(ConfigError, match=r"layers.3.mlp.up_proj.weight belongs to the chat model"):
        anchored_trainer(model, tmp_path)


def test_prompt_tuning_is_refused(tmp_path):
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(ConfigError, match="changes the model's input"):
        anchored_trainer(peft_model(config=config), tmp_path, optimizers=(None, None))


def test_adapters_of_transformers_own_integration_are_refused(tmp_path):
    model = make_model()
    model.add_adapter(lora_config())
    with pytest.raises(ConfigError, match=r"peft.get_peft_model"):
        anchored_trainer(model, tmp_path)


@pytest.mark.parametrize("changes", [{"init_lora_weights": "pissa"}, {"modules_to_save": ["norm"]}])
def test_a_reference_model_is_the_way_out(tmp_path, changes):
    model = peft_model(config=lora_config(**changes))
    trainer = anchored_trainer(model, tmp_path, reference_model=make_model())
    assert float(trainer._anchor_backward()) == pytest.approx(0, abs=1e-5)  # it starts as the chat model
    trainer.train()
    assert max(entry.get("kl", 0) for entry in trainer.state.log_history) > 1e-4


def test_a_reference_that_is_trained_along_or_speaks_otherwise_is_refused(tmp_path):
    model = peft_model()
    with pytest.raises(ConfigError, match="shares trained weights"):
        anchored_trainer(model, tmp_path, reference_model=model.get_base_model())
    with pytest.raises(ConfigError, match="vocabulary has 70 tokens"):
        anchored_trainer(model, tmp_path, reference_model=make_model(vocab_size=70))


def test_other_harmless_adapters_are_accepted(tmp_path):
    for changes in ({"use_dora": True}, {"init_lora_weights": "gaussian"}, {"init_lora_weights": False}):
        trainer = anchored_trainer(peft_model(config=lora_config(**changes)), tmp_path)
        assert (
            float(trainer._anchor_backward()) == pytest.approx(0, abs=1e-6) or "init_lora_weights" in changes
        )


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kl_weight": -1.0}, "kl_weight is -1.0"),
        ({"kl_weight": float("nan")}, "kl_weight is nan"),
        ({"anchor_rows_per_row": 0.0}, "anchor_rows_per_row is 0.0"),
        ({"anchor_positions": "answer"}, "anchor_positions is 'answer'"),
    ],
)
def test_wrong_values_are_refused_by_the_argument_s_name(tmp_path, changes, words):
    with pytest.raises(ConfigError, match=words):
        anchored_trainer(peft_model(), tmp_path, **changes)


def test_ways_of_training_in_which_the_gradient_would_be_wrong_are_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="'lomo', which updates the weights in each backward pass"):
        anchored_trainer(peft_model(), tmp_path, args=arguments(tmp_path, optim="lomo"))
    made = anchored_trainer(peft_model(), tmp_path)
    monkeypatch.setattr(made, "is_fsdp_enabled", True)
    with pytest.raises(ConfigError, match="FSDP, DeepSpeed"):
        trainer_module._check_set_up(made)
    monkeypatch.setattr(made, "is_fsdp_enabled", False)
    monkeypatch.setattr(made.args, "_n_gpu", 2)
    with pytest.raises(ConfigError, match="DataParallel"):
        trainer_module._check_set_up(made)
    monkeypatch.setattr(made.args, "_n_gpu", 1)
    monkeypatch.setattr(made, "get_tp_size", lambda: 2)
    with pytest.raises(ConfigError, match="tensor, context or sequence"):
        trainer_module._check_set_up(made)


def test_a_trainer_that_averages_means_of_passes_is_refused(tmp_path):
    trainer = anchored_trainer(peft_model(), tmp_path)
    trainer.model_accepts_loss_kwargs = False
    with pytest.raises(ConfigError, match="takes no num_items_in_batch"):
        trainer.train()
    whole = anchored_trainer(
        peft_model(), tmp_path, args=arguments(tmp_path, gradient_accumulation_steps=1, max_steps=1)
    )
    whole.model_accepts_loss_kwargs = False
    whole.train()  # one pass is the window


def test_a_head_that_is_not_all_there_is_to_the_logits_is_refused(tmp_path):
    class Scaled(nn.Module):
        """Doubles the logits, as no configuration says."""

        def __init__(self, head: nn.Linear) -> None:
            super().__init__()
            self.head = head
            self.weight = head.weight

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            return 2 * self.head(hidden)

    model = peft_model()
    model.get_base_model().lm_head = Scaled(model.get_base_model().lm_head)
    trainer = anchored_trainer(model, tmp_path)
    with pytest.raises(ConfigError, match="does not give the model's logits"):
        trainer.train()


def test_soft_capped_logits_are_known(tmp_path):
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=make_model().config.vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=2.0,
        initializer_range=0.25,
    )
    model = peft.get_peft_model(Gemma2ForCausalLM(config), lora_config(init_lora_weights=False))
    trainer = anchored_trainer(model, tmp_path, args=arguments(tmp_path, max_steps=1))
    trainer.train()
    assert trainer.state.log_history[0]["kl"] > 0


def test_a_model_made_anew_by_model_init_is_checked_anew(tmp_path):
    def fresh():
        return peft_model()

    trainer = anchored_trainer(None, tmp_path, model_init=fresh, args=arguments(tmp_path, max_steps=1))
    first = trainer._anchor_passes.model
    trainer.train()
    assert trainer.model is not first
    assert trainer._anchor_passes.model is trainer.model


def test_importing_the_mixin_needs_neither_trl_nor_peft():
    code = (
        "import sys; from narrows.training.trainer import AnchorMixin, labelled_rows; "
        "print([name for name in ('trl', 'peft', 'datasets') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_without_trl_the_error_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.partition(".")[0] == "trl":
            raise ModuleNotFoundError("No module named 'trl'")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(vars(trainer_module), "AnchoredSFTTrainer", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r"pip install 'narrows\[trl\]'"):
        _ = trainer_module.AnchoredSFTTrainer


def test_the_classes_are_made_once_and_other_names_are_unknown():
    first = trainer_module.AnchoredTrainer
    assert trainer_module.AnchoredTrainer is first
    assert first.__qualname__ == "AnchoredTrainer"
    with pytest.raises(AttributeError, match="no attribute 'AnchoredDPOTrainer'"):
        _ = trainer_module.AnchoredDPOTrainer
