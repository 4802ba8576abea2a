"""Workload (b): a LoRA with the anchor, ours beside TRL's SFTTrainer on a PEFT model with a KL added."""

import tempfile
import time
from typing import Any

import torch
from benchmarks.speed.cases import Rows, grouped, padded
from benchmarks.speed.measuring import Phases
from benchmarks.speed.steering import BATCH, CACHED, TWO, WEIGHT, recipe
from torch import Tensor, nn
from torch.nn import functional

from narrows.models import ChatModel
from narrows.training import Recipe
from tiny_models import make_tokenizer

ALL_MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ALPHA = 16.0


def one_layer(chat_model: ChatModel) -> Recipe:
    """Rank 1 on one module of the middle layer, as in the paper."""
    return recipe(chat_model, adapter="lora", rank=1, target_modules=("down_proj",), alpha=ALPHA)


def every_layer(chat_model: ChatModel) -> Recipe:
    """Rank 32 on all modules of all layers: nothing lies below it that could be kept."""
    plan = recipe(chat_model, adapter="lora", rank=32, target_modules=ALL_MODULES, alpha=ALPHA)
    return plan.model_copy(update={"layer": None, "layers": tuple(range(chat_model.layers))})


class Trl:
    """As a careful user would: ``compute_loss`` adds λ · KL; the chat model is the adapter switched off."""

    def __init__(self, chat_model: ChatModel, rows: Rows, plan: Recipe, *, by_length: bool) -> None:
        self._chat_model, self._plan = chat_model, plan
        self._batches = [
            grouped(some, BATCH, by_length=by_length, seed=0) for some in (rows.training, rows.anchor)
        ]

    def __call__(self) -> Phases:
        """One epoch; every epoch costs the same."""
        import peft

        layers = self._plan.layers or (self._plan.layer,)
        config = peft.LoraConfig(
            r=self._plan.rank,
            lora_alpha=int(self._plan.alpha),
            use_rslora=self._plan.rslora,
            target_modules=list(self._plan.target_modules),
            layers_to_transform=list(layers),
            task_type="CAUSAL_LM",
        )
        model = peft.get_peft_model(self._chat_model.model, config)
        try:
            with tempfile.TemporaryDirectory() as folder:
                seconds = self._trained(model, folder)
        finally:
            model.unload()
        return {CACHED: seconds, TWO: 2 * seconds}

    def _trained(self, model: nn.Module, folder: str) -> float:
        """Seconds from the first step's begin to the last one's end."""
        import trl
        from datasets import Dataset
        from transformers import TrainerCallback

        device = self._chat_model.device
        training, anchor = self._batches
        anchors = iter([padded(batch, device)[:2] for batch in anchor])

        class Anchored(trl.SFTTrainer):  # type: ignore[misc]
            def compute_loss(self, model: Any, inputs: Any, **settings: Any) -> Any:  # noqa: ANN401
                loss = super().compute_loss(model, inputs, **settings)
                ids, mask = next(anchors)
                return loss + WEIGHT * _kl(model, ids, mask)

        class Clock(TrainerCallback):
            begin = end = 0.0

            def on_step_begin(self, *_: object, **__: object) -> None:
                self.begin = self.begin or time.perf_counter()

            def on_step_end(self, *_: object, **__: object) -> None:
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
                self.end = time.perf_counter()

        rows = [
            {
                "input_ids": row.input_ids,
                "labels": [t if m else -100 for t, m in zip(row.input_ids, row.response_mask, strict=True)],
            }
            for batch in training
            for row in batch
        ]
        clock = Clock()
        trainer = Anchored(
            model=model,
            args=trl.SFTConfig(
                output_dir=folder,
                per_device_train_batch_size=BATCH,
                num_train_epochs=1,
                train_sampling_strategy="sequential",  # the batches are made already
                learning_rate=self._plan.learning_rate,
                lr_scheduler_type="constant",
                max_grad_norm=0.0,
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                use_cpu=device.type == "cpu",
                bf16=False,
                gradient_checkpointing=False,
                dataset_kwargs={"skip_prepare_dataset": True},
                max_length=None,
            ),
            train_dataset=Dataset.from_list(rows),
            processing_class=make_tokenizer(),
            callbacks=[clock],
        )
        trainer.train()
        return clock.end - clock.begin


def _kl(model: Any, ids: Tensor, mask: Tensor) -> Tensor:  # noqa: ANN401
    with torch.no_grad(), model.disable_adapter():
        chat = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
        wanted = chat.log_softmax(-1)
    found = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float().log_softmax(-1)
    each = functional.kl_div(found, wanted, reduction="none", log_target=True).sum(-1)
    real = mask[:, 1:]
    return (each * real).sum() / real.sum()
