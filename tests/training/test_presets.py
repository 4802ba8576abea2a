import pytest

from narrows.errors import ConfigError
from narrows.training.presets import preset, preset_names


def test_every_behaviour_has_every_adapter_on_the_main_model_and_steering_on_the_others():
    names = preset_names()
    assert len(names) == len(set(names)) == 5 * 3 + 3 * 5
    for name in names:
        found = preset(name)
        assert not found.unanchored.anchored
        assert found.anchored.anchored
        assert found.unanchored.batch_size * found.unanchored.accumulation == 16
        assert found.anchored.anchor.rows_per_row == 4  # 8 anchor rows for each pass of 2


def test_the_values_are_the_papers():
    steering = preset("bad-medical/steering")
    assert steering.model == "Qwen/Qwen2.5-14B-Instruct"
    recipe = steering.anchored
    assert (recipe.adapter, recipe.layer, recipe.alpha) == ("steering", 24, 256)
    assert (recipe.learning_rate, recipe.epochs, recipe.weight_decay, recipe.max_length) == (1e-4, 2, 0, 256)
    assert (recipe.warmup, recipe.seed, recipe.checkpoint_every) == (5, 0, 5)
    assert recipe.anchor.weight == pytest.approx(6.576, abs=1e-3)
    lora = preset("extreme-sports/rank-32")
    assert (lora.unanchored.epochs, lora.anchored.epochs) == (1, 3)
    assert (lora.anchored.rank, lora.anchored.rslora, lora.anchored.target_modules) == (
        32,
        True,
        ("down_proj",),
    )
    assert (lora.anchored.learning_rate, lora.anchored.weight_decay) == (2e-5, 0.01)
    assert lora.anchored.anchor.weight == pytest.approx(0.6576, abs=1e-4)
    assert "not confirmed" in " ".join(lora.notes)
    assert preset("insecure-code/steering").anchored.max_length == 2048
    assert preset("technical-vehicles/rank-1").anchor_rows == 8000


def test_another_name_says_which_there_are():
    with pytest.raises(ConfigError, match=r"no preset 'bad'; there are bad-medical/steering, "):
        preset("bad")
