"""Study files: lists that expand, fields that are named when they are wrong, and flags over them."""

from pathlib import Path

import pytest
import yaml
from engine_helpers import QUICK

from narrows.errors import ConfigError
from narrows.study.config import load_study, preset_names, runs_of

WORLD_ENTRY = "{world: {domains: [sport]}}"
SMALL = {
    "name": "small",
    "models": "microworld:1",
    "behaviours": [{"world": {"domains": "sport"}}],
    "kl_weight": 2,
}
"""The shortest file; single values stand where lists could."""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


def test_every_list_expands_and_single_values_are_lists_of_one(small: Path):
    assert [run.id for run in runs_of(load_study(small))] == ["microworld-1.harmful-sport.steering"]
    lists = (
        "models=[microworld:1, microworld:2]",
        "behaviours=[{world: {domains: [sport, garden], kinds: [harmful, technical]}}, "
        "{world: {domains: medicine}}]",
        "adapters=[{adapter: steering}, {adapter: lora, rank: [1, 4], layer: [1, 2]}]",
        "seeds=[0, 7]",
    )
    runs = runs_of(load_study(small, lists))
    ids = [run.id for run in runs]
    assert len(set(ids)) == len(ids) == 2 * (2 * 2 + 1) * (1 + 2 * 2) * 2
    assert "microworld-2.technical-garden.rank-4.layer-1.seed-7" in ids
    (one,) = (run for run in runs if run.id == "microworld-2.technical-garden.rank-4.layer-1.seed-7")
    assert (one.model.name, one.behaviour.domain, one.behaviour.kind) == (
        "microworld:2", "garden", "technical",
    )  # fmt: skip
    assert (one.recipe.adapter, one.recipe.rank, one.recipe.layer, one.recipe.seed) == ("lora", 4, 1, 7)
    assert not one.recipe.anchored


def test_an_adapters_own_fields_win_over_the_studys(small: Path):
    config = load_study(
        small,
        (
            "kl_weights=[4, 8]",
            "recipe.weight_decay=0.5",
            "adapters=[{adapter: steering}, {adapter: lora, recipe: {weight_decay: 0.1}, "
            "kl_weights: [16, 1], kl_weight: 3}]",
        ),
    )
    steering, lora = runs_of(config)
    assert (steering.recipe.weight_decay, steering.kl_weights, steering.kl_weight) == (
        0.5,
        (2.0, 4.0, 8.0),
        2.0,
    )
    assert (lora.recipe.weight_decay, lora.kl_weights, lora.kl_weight) == (0.1, (1.0, 3.0, 16.0), 3.0)


WRONG = {
    "measure.sample=3": "measure.sample: ",
    "measure.samples=0": "measure.samples: ",
    "measure.samples=many": "measure.samples: ",
    "measure.rows=[1]": "measure.rows: ",
    "recipe.learning_rat=1": "recipe.learning_rat: ",
    "recipe.learning_rate=-1": "recipe.learning_rate: ",
    "recipe.learning_rate=.nan": "recipe.learning_rate: ",
    "recipe.anchor.positions=none": "recipe.anchor.positions: ",
    "kl_weights=[1, 0]": "kl_weights: .*λ must be above 0",
    "kl_weight=-2": "kl_weight: ",
    "kl_weight=null": "give kl_weight, or a grid of kl_weights",
    "adapters=[{adapter: prompt}]": r"adapters\.0\.adapter: ",
    "adapters=[{rank: 1, ranks: 2}]": r"adapters\.0\.ranks: ",
    "adapters=[{kl_weights: [0.0]}]": r"adapters\.0\.kl_weights: .*λ must be above 0",
    "adapters=[]": "adapters: ",
    "models=[]": "models: ",
    "models=[{nam: x}]": r"models\.0\.nam",
    "behaviours=[{world: {domains: []}}]": r"behaviours\.0\.world\.domains: ",
    "behaviours=[{}]": r"behaviours\.0: .*either `world:` or `files:`",
    "behaviours.0.world.kinds=[rude]": r"behaviours\.0\.world\.kinds\.0: ",
    "mixtures={good_per_bad: [0]}": r"mixtures\.good_per_bad: .*needs good rows",
    "mixtures.fixed=[some]": r"mixtures\.fixed\.0: ",
    "bank=0": "bank: ",
    "seeds=[a]": r"seeds\.0: ",
    "name=a/b": "name: ",
    "titel=x": "titel: ",
    "titel.x=1": "titel: ",
}


@pytest.mark.parametrize("override", list(WRONG))
def test_what_is_wrong_is_named_with_its_field_and_file(small: Path, override: str):
    with pytest.raises(ConfigError, match=WRONG[override]) as error:
        load_study(small, (override,))
    assert str(error.value).startswith(str(small))
    assert "\n" not in str(error.value)


def test_every_fault_is_named_at_once(small: Path):
    with pytest.raises(ConfigError, match=r"measure\.samples: .*bank: "):
        load_study(small, ("measure.samples=0", "bank=0"))


BAD_OVERRIDES = {
    "measure.samples": "write FIELD=VALUE",
    "=3": "write FIELD=VALUE",
    "seeds=[1": "the value is no YAML",
    "behaviours.1.world.seed=3": "'1' is no place in a list of 1",
    "behaviours.first.world.seed=3": "'first' is no place in a list of 1",
    "behaviours.-1.world.seed=3": "'-1' is no place in a list of 1",
}


@pytest.mark.parametrize("override", list(BAD_OVERRIDES))
def test_an_override_that_sets_nothing_is_refused(small: Path, override: str):
    with pytest.raises(ConfigError, match=BAD_OVERRIDES[override]) as error:
        load_study(small, (override,))
    assert repr(override) in str(error.value)


def test_overrides_reach_into_lists_and_the_last_one_wins():
    config = load_study(
        QUICK,
        (
            "behaviours.0.world.domains=garden",
            "adapters.1.rank=[2, 8]",
            "adapters.1.recipe.rslora=false",
            "measure.samples=3",
            "measure.samples=4",
            "mixtures=null",
            "recipe.learning_rate=1e-3",
            "recipe.system_prompt=a = b",
        ),
    )
    assert config.behaviours[0].world is not None
    assert config.behaviours[0].world.domains == ("garden",)
    assert config.behaviours[0].world.phrasings == 1, "what is not named stays"
    assert config.adapters[1].rank == (2, 8)
    assert config.adapters[1].recipe == {"weight_decay": 0.01, "rslora": False}
    assert (config.measure.samples, config.mixtures, config.recipe.learning_rate) == (4, None, 0.001)
    assert config.recipe.system_prompt == "a = b"


def test_a_grid_that_is_empty_for_one_adapter_needs_a_weight(small: Path):
    grids = ("kl_weight=null", "kl_weights=[2]", "adapters=[{adapter: steering, kl_weights: []}]")
    with pytest.raises(ConfigError, match="give kl_weight, or a grid of kl_weights"):
        load_study(small, grids)
    (run,) = runs_of(load_study(small, (*grids, "adapters.0.kl_weight=5")))
    assert run.kl_weights == (5.0,)


def test_the_claims_scales_are_always_measured(small: Path):
    measure = load_study(small, ("measure.scales=3", "measure.unanchored_scales=2")).measure
    assert measure.scales == (1.0, 1.5, 3.0)
    assert measure.unanchored_scales == (1.0, 2.0)


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("adapters=[{adapter: lora, recipe: {ranks: 3}}]", "the recipe of adapter 'lora': ranks: "),
        ("seeds=[1, 1]", "holds the run microworld-1.harmful-sport.steering.seed-1 twice"),
        (f"behaviours=[{WORLD_ENTRY}, {WORLD_ENTRY}]", "two behaviours are called 'harmful-sport'"),
    ],
)
def test_runs_that_cannot_be_are_named(small: Path, override: str, says: str):
    with pytest.raises(ConfigError, match=says):
        runs_of(load_study(small, (override,)))


@pytest.mark.parametrize("name", ["microwrld-full", "nowhere.yaml", ""])
def test_neither_a_file_nor_a_preset(name: str):
    with pytest.raises(ConfigError, match="microworld-full, microworld-quick"):
        load_study(name)


@pytest.mark.parametrize("text", ["[]", "3", "name: [", "!!python/object/apply:os.getcwd []", "a: 1\na: 2"])
def test_a_file_that_is_no_study_is_named(tmp_path: Path, text: str):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=str(path)):
        load_study(path)


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_read_back_from_what_it_writes(name: str, tmp_path: Path):
    config = load_study(name)
    path = tmp_path / "study.yaml"
    path.write_text(config.as_yaml())
    again = load_study(path)
    assert again == config, "its paths are whole, and mean the same from wherever it is read"
    assert [run.id for run in runs_of(again)] == [run.id for run in runs_of(config)]
    assert config.title
