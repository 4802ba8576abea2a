"""What stands around layers that are shared out; the sharing itself runs with two processes in training."""

import os

import pytest
import torch

from narrows.models import is_sharded, wants_sharding
from narrows.models.sharding import loaded_by_all, whole


def test_every_process_reads_the_weights_and_the_setting_comes_back(monkeypatch):
    for before in ("true", None):
        if before is None:
            monkeypatch.delenv("FSDP_CPU_RAM_EFFICIENT_LOADING", raising=False)
        else:
            monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", before)
        with loaded_by_all():
            assert os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"
        assert os.environ.get("FSDP_CPU_RAM_EFFICIENT_LOADING") == before


@pytest.mark.parametrize(
    ("asked", "processes", "wanted"), [("true", "2", True), ("true", "1", False), ("false", "2", False)]
)
def test_layers_are_shared_out_if_the_launcher_asks_and_there_is_someone_to_share_with(
    monkeypatch, asked, processes, wanted
):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", asked)
    monkeypatch.setenv("WORLD_SIZE", processes)
    assert wants_sharding() is wanted


def test_a_model_of_one_process_is_whole(chat_model):
    weight = torch.ones(2)
    assert whole(weight) is weight
    assert not is_sharded(chat_model.model)
    assert not wants_sharding()
