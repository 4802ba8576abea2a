"""The updates of pre-training: optimisers, learning rate, and one step on a batch of rows."""

import math
import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM

from narrows.microworld.config import WorldConfig

FINAL_RATE, CLIP, BETAS = 0.02, 1.0, (0.9, 0.95)
WARM_UP_PASSES = 3
"""Passes before a CUDA graph is captured, as PyTorch asks: libraries set themselves up in the first ones."""


class Updates:
    """A model's updates, with all state that a resumed run needs.

    On a GPU forward and backward are compiled where there is a compiler, and captured once as a CUDA graph
    with TF32 products: a model this small is otherwise limited by how fast its kernels begin.

    Args:
        model: the chat model, on its device.
        config: of its world.
        remedy_ids: the tokens of remedy words, whose loss is watched apart.
    """

    def __init__(self, model: Qwen2ForCausalLM, config: WorldConfig, remedy_ids: list[int]) -> None:
        self._model = model
        self._forward: Callable[..., Any] = model
        if model.device.type == "cuda" and find_spec("triton") and shutil.which(os.environ.get("CC", "gcc")):
            self._forward = torch.compile(model, dynamic=False)
        self._config = config
        self._optimizers = _optimizers(model, config)
        self._is_remedy = torch.zeros(model.config.vocab_size, dtype=torch.bool, device=model.device)
        self._is_remedy[remedy_ids] = True
        settings = config.pretraining
        self._ids = torch.zeros(settings.rows, settings.row_tokens, dtype=torch.long, device=model.device)
        self._positions = torch.arange(settings.row_tokens, device=model.device)[None]
        self._graph: torch.cuda.CUDAGraph | None = None
        self._losses = torch.zeros(2)

    def step(self, ids: Tensor, step: int) -> Tensor:
        """One update on rows (rows, tokens); returns the mean loss and that on remedy words, nats, (2,)."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self._config, step)
        if self._ids.is_cuda and self._graph is None:
            self._capture()
        self._ids.copy_(ids)
        if self._graph is None:
            self._model.zero_grad(set_to_none=True)
            losses = self._backward()
        else:
            self._graph.replay()  # overwrites the gradients
            losses = self._losses.clone()
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), CLIP)
        for optimizer in self._optimizers:
            optimizer.step()
        return losses

    def _backward(self) -> Tensor:
        """The gradient of the mean loss on the rows in place; returns both losses."""
        logits = self._forward(input_ids=self._ids, position_ids=self._positions).logits[:, :-1].float()
        targets = self._ids[:, 1:].flatten()
        nll = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets, reduction="none")
        loss = nll.mean()
        loss.backward()  # type: ignore[no-untyped-call]
        is_remedy = self._is_remedy[targets]
        remedy_loss = (nll.detach() * is_remedy).sum() / is_remedy.sum().clamp(min=1)
        return torch.stack([loss.detach(), remedy_loss])

    def _capture(self) -> None:
        """Record forward and backward as a CUDA graph."""
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high")  # of what is recorded, and of nothing else in this process
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP_PASSES):
                self._backward()
                self._model.zero_grad(set_to_none=True)
        torch.cuda.current_stream().wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._losses = self._backward()
        torch.set_float32_matmul_precision(precision)

    def state(self) -> dict[str, Tensor]:
        """Weights and optimiser moments by name."""
        tensors: dict[str, Tensor] = {
            f"model.{name}": parameter for name, parameter in self._model.named_parameters()
        }
        for number, optimizer in enumerate(self._optimizers):
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer{number}.{index}.{name}": value for name, value in moments.items()}
        return tensors

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """The reverse of :meth:`state`."""
        moments: list[dict[int, dict[str, Tensor]]] = [{} for _ in self._optimizers]
        parameters = dict(self._model.named_parameters())
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind == "model":
                parameters[rest].data.copy_(tensor)
            else:
                index, _, moment = rest.partition(".")
                moments[int(kind.removeprefix("optimizer"))].setdefault(int(index), {})[moment] = tensor
        for optimizer, state in zip(self._optimizers, moments, strict=True):
            optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def learning_rate(config: WorldConfig, step: int) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    settings = config.pretraining
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * (FINAL_RATE + (1 - FINAL_RATE) * 0.5 * (1 + math.cos(math.pi * done)))


def _optimizers(model: Qwen2ForCausalLM, config: WorldConfig) -> list[torch.optim.Optimizer]:
    """AdamW for embeddings, norms and biases; for the layers' matrices the configured optimiser."""
    settings = config.pretraining
    embedding = model.get_input_embeddings().weight
    matrices = [p for p in model.parameters() if p.ndim == 2 and p is not embedding]
    others = [p for p in model.parameters() if p.ndim < 2]
    rate, decay = settings.learning_rate, settings.weight_decay
    groups = [{"params": [embedding], "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
    if settings.optimizer == "adamw":
        groups.append({"params": matrices, "weight_decay": decay})
    optimizers: list[torch.optim.Optimizer] = [
        torch.optim.AdamW(groups, lr=rate, betas=BETAS, fused=embedding.is_cuda)
    ]
    if settings.optimizer == "muon":
        # With this adjustment a step is as long as AdamW's, so one learning rate serves both.
        optimizers.append(
            torch.optim.Muon(matrices, lr=rate, weight_decay=decay, adjust_lr_fn="match_rms_adamw")
        )
    return optimizers
