"""What ``narrows train`` says at its end."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from narrows.cli.output import peak_gpu_memory, peak_memory

if TYPE_CHECKING:
    from narrows.chat import Conversation
    from narrows.models import ChatModel
    from narrows.training import TrainingRun

NORM_ROWS = 64
"""Rows on which the residual stream's mean norm is taken."""


def norms(result: dict[str, Any]) -> str:
    """The norms of an adapter in the words of its kind."""
    if result["kind"] == "lora":
        return f"‖BA‖ {result['norm']:.4g} · ‖sBA‖ {result['effective_norm']:.4g}"
    return (
        f"‖v‖ {result['norm']:.4g} · ‖αv‖ {result['effective_norm']:.4g} "
        f"({100 * result['share_of_residual_norm']:.0f} % of the mean residual norm)"
    )


def described(run: "TrainingRun", chat_model: "ChatModel", rows: "Sequence[Conversation]") -> dict[str, Any]:
    """The end of a run in numbers."""
    from narrows.adapters.files import ADAPTER_FILE
    from narrows.models import mean_residual_norm

    rendered = [chat_model.renderer.render(row, run.recipe.max_length) for row in rows[:NORM_ROWS]]
    is_vector = run.adapter.kind == "steering"
    residual = mean_residual_norm(chat_model, run.adapter.layer, rendered) if is_vector else None
    last = run.log[-1]
    return {
        "adapter": str((run.folder or Path()) / ADAPTER_FILE),
        "steps": run.steps,
        "loss": last["loss"],
        "kl": last["kl"],
        "kl_weight": last["kl_weight"],
        "layer": run.adapter.layer,
        "norm": run.adapter.norm,
        "effective_norm": run.adapter.effective_norm,
        "kind": run.adapter.kind,
        "peak_memory_gb": peak_memory(),
        "peak_gpu_memory_gb": peak_gpu_memory(),
        "share_of_residual_norm": run.adapter.effective_norm / residual if residual else None,
    }
