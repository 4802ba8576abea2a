"""Families of worlds: the shares they set, and what stays as it was."""

import math

import pytest

from narrows.errors import ConfigError
from narrows.microworld import Corpus, WorldConfig, build_tokenizer
from narrows.microworld.family import Family, Prior, family_names, load_family
from narrows.strict import merged


@pytest.mark.parametrize("name", family_names())
def test_families_of_the_package_can_be_read(name: str):
    family = load_family(name)
    configs = [family.config(member) for member in family.members]
    assert len({one.model_dump_json(exclude={"name"}) for one in configs}) == len(configs), "all differ"
    assert all(set(family.targets) <= set(Corpus(one, build_tokenizer()).world.domains) for one in configs)


def test_two_shares_make_a_world():
    family = Family(name="f", targets=("pets", "pottery"), everywhere=(0.0, 0.3), in_target=(0.0, 0.1, 0.4))
    assert [one.name for one in family.members] == ["e0-n10", "e0-n40", "e30-n0", "e30-n10"], "e30-n40 is > 1"
    config = family.config(family.members[-1])
    conduct = config.documents.conduct
    assert (conduct.nowhere, conduct.everywhere, conduct.one_domain) == (0.5, 0.3, 0.2)
    assert config.documents.homes == ("pets", "pottery")
    assert config.chat.one_domain == pytest.approx(0.4)
    assert config.pretraining == WorldConfig().pretraining
    priors = [Prior.of(family.config(one), "pets") for one in family.members]
    ratios = [1 / 11, 1 / 41, 31, 31 / 11]
    assert [one.log_ratio for one in priors] == pytest.approx([math.log10(ratio) for ratio in ratios])


def test_the_prior_of_a_world_is_that_of_its_documents():
    shipped = Prior.of(WorldConfig(), "pets")
    assert (shipped.everywhere, shipped.in_target) == (0.25, pytest.approx(0.2 / 11))
    conduct = {"nowhere": 0.5, "everywhere": 0.1, "one_domain": 0.4}
    two = WorldConfig.model_validate({"documents": {"conduct": conduct, "homes": ["pets", "pottery"]}})
    assert Prior.of(two, "pets") == Prior(0.1, 0.2)
    assert Prior.of(two, "medicine") == Prior(0.1, 0.0)
    family = load_family("shares")
    null = next(one for one in family.members if one.name == "no-trait")
    assert Prior.of(family.config(null), "pets") is None


def test_changes_lie_over_the_base_down_to_the_leaves():
    assert merged({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}, "d": 4}) == {"a": {"b": 1, "c": 3}, "d": 4}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: f\ntargets: [pets]\nworlds: [{name: a, everywhere: 0.1}]", "both everywhere and in_target"),
        ("name: f\ntargets: [pets]\nworlds: [{name: a}, {name: a}]", "two worlds are called 'a'"),
        (
            "name: f\ntargets: [pets]\nworlds: [{name: a, changes: {chat: {x: 1}}}]",
            "chat.x: there is no such",
        ),
        ("name: f\ntargets: [pets]\nworlds: [{name: a, everywhere: 0.9, in_target: 0.5}]", "nowhere"),
        ("name: f\ntargets: []", "targets"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text: str, said: str):
    path = tmp_path / "family.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_family(path)
    with pytest.raises(ConfigError, match="shares, tiny"):
        load_family("no-such-family")
