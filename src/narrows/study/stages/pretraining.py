"""The stage that pre-trains a microworld's chat model, into the folder that it is for."""

from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from narrows.microworld import WorldConfig, pretrain
from narrows.study.plan.stage import Stage
from narrows.study.stages.bench import Bench, Done

DRAWERS = 2
"""Processes that draw text ahead of a model on a GPU; on a CPU the model itself is what takes time."""


def pretrain_world(stage: Stage, bench: Bench) -> Done:
    """Pre-train a model; one that was stopped goes on."""
    source = stage.source
    transformers_logging.disable_progress_bar()  # the executors have bars of their own
    on_gpu = torch.cuda.is_available() if bench.device is None else bench.device.startswith("cuda")
    config = WorldConfig.model_validate(source["config"])
    pretrain(
        config,
        Path(source["folder"]),
        seed=stage.settings["seed"],
        device=bench.device,
        workers=DRAWERS if on_gpu else 0,
        snapshots=source["snapshots"],
    )
    return Done(tokens=config.pretraining.tokens, trainings=1)
