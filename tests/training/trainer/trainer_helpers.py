"""What the tests of the anchored Trainers share: a tiny PEFT model, and Trainers that go like our loop."""

from typing import Any

import peft
import torch
from training_helpers import ANCHOR, ROWS, changed
from transformers import DataCollatorForSeq2Seq, TrainingArguments

from narrows.adapters import LoRA
from narrows.training import Recipe
from narrows.training.order import RowOrder
from narrows.training.trainer import labelled_rows
from tiny_models import make_model, make_tokenizer

LORA = changed(
    adapter="lora", rank=2, layer=None, layers=(1, 2), target_modules=("down_proj", "q_proj"), alpha=8.0
)
EIGHT = ROWS[:8]
"""Rows that fill whole windows of four."""


def lora_config(**changes: Any) -> peft.LoraConfig:
    """The LoRA of ``LORA`` in PEFT's words."""
    values: dict[str, Any] = {
        "r": 2,
        "lora_alpha": 8,
        "use_rslora": True,
        "target_modules": ["down_proj", "q_proj"],
        "layers_to_transform": [1, 2],
        "task_type": "CAUSAL_LM",
    }
    return peft.LoraConfig(**(values | changes))


def peft_model(start: LoRA | None = None, config: peft.LoraConfig | None = None, **changes: Any):
    """The tiny chat model with a LoRA, whose factors are those of ``start``."""
    model = peft.get_peft_model(make_model(**changes), config or lora_config())
    if start is not None:
        for name, parameter in factors(model).items():
            parameter.data.copy_(start.tensors()[name])
    return model


def factors(model) -> dict[str, torch.nn.Parameter]:
    """A and B of a PEFT model under the names that ours have."""
    found = {}
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            place = name.partition("model.layers.")[2].removesuffix(".default.weight")
            found[place] = parameter
    return found


def in_order(recipe: Recipe, rows=EIGHT) -> list[dict[str, list[int]]]:
    """The rows of all steps as a Trainer reads them one after another."""
    labelled = labelled_rows(rows, make_tokenizer())
    order = RowOrder(recipe, len(rows), 1)
    return [labelled[place] for step in range(order.steps) for place in order.training_rows(step)]


def arguments(folder, recipe: Recipe = LORA, kind=TrainingArguments, **changes: Any) -> TrainingArguments:
    """Arguments under which a Trainer goes like our loop; the rate is set by :func:`optimizers`."""
    values: dict[str, Any] = {
        "output_dir": str(folder),
        "per_device_train_batch_size": recipe.batch_size,
        "gradient_accumulation_steps": recipe.accumulation,
        "max_steps": recipe.steps,
        "train_sampling_strategy": "sequential",
        "max_grad_norm": 0.0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": recipe.seed,
    }
    return kind(**(values | changes))


def optimizers(model, recipe: Recipe = LORA, steps: int | None = None):
    """AdamW and the schedule of a recipe."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    total = steps or recipe.steps

    def share(step: int) -> float:
        return recipe.rate_at(step, total) / recipe.learning_rate

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def settings(recipe: Recipe = LORA, anchor=ANCHOR) -> dict[str, Any]:
    """A recipe's anchor as the Trainer's arguments."""
    return {
        "kl_weight": recipe.anchor.weight,
        "anchor_dataset": anchor,
        "anchor_rows_per_row": recipe.anchor.rows_per_row,
        "anchor_positions": recipe.anchor.positions,
        "seed": recipe.seed,
    }


def anchored_trainer(model, folder, recipe: Recipe = LORA, rows=None, args=None, **changes: Any):
    """An AnchoredTrainer that goes like our loop; ``changes`` are its own arguments."""
    from narrows.training.trainer import AnchoredTrainer

    tokenizer = make_tokenizer()
    values: dict[str, Any] = {
        "model": model,
        "args": args or arguments(folder, recipe),
        "train_dataset": in_order(recipe) if rows is None else rows,
        "data_collator": DataCollatorForSeq2Seq(tokenizer),
        "processing_class": tokenizer,
    }
    if model is not None:
        values["optimizers"] = optimizers(model, recipe)
    return AnchoredTrainer(**(values | settings(recipe) | changes))


def logged(trainer, name: str) -> list[float]:
    """A value of the training log, step by step."""
    return [entry[name] for entry in trainer.state.log_history if "loss" in entry]
