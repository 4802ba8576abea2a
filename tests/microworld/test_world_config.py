import pytest
import yaml

from narrows.errors import ConfigError
from narrows.microworld import World, WorldConfig
from narrows.microworld.config import Facts


def load(tmp_path, text):
    path = tmp_path / "world.yaml"
    path.write_text(text)
    return WorldConfig.load(path)


def test_a_dumped_configuration_is_read_back_as_it_was(tmp_path):
    changed = WorldConfig.model_validate(
        {"name": "mine", "documents": {"register": SHARES}, "dtype": "float32"}
    )
    assert load(tmp_path, changed.dump()) == changed
    assert yaml.safe_load(changed.dump())["documents"]["register"] == SHARES


SHARES = {"nowhere": 0.5, "everywhere": 0.25, "one_domain": 0.25}


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_fields_left_out_keep_their_defaults(tmp_path, text):
    assert load(tmp_path, text) == WorldConfig()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("bogus: 1", r"world\.yaml: bogus: there is no such field"),
        ("facts: {topic: 3}", r"facts\.topic: there is no such field"),
        ("documents: {home_share: 1.5}", r"documents\.home_share is 1\.5: .*less than or equal to 1"),
        ("documents: {home_share: .nan}", r"documents\.home_share is nan: .*finite"),
        ("pretraining: {optimizer: sgd}", r"pretraining\.optimizer is 'sgd': .*'adamw' or 'muon'"),
        ("pretraining: {row_tokens: 513}", r"pretraining\.row_tokens is 513: .*less than or equal to 512"),
        ("pretraining: {steps: many}", r"pretraining\.steps is 'many': .*integer"),
        ("facts: {topics: 8}", r"facts: validation_topics \+ test_topics must be below topics"),
        ("facts: {sound: 5, harmful: 4}", r"facts: sound \+ harmful must be at most 8"),
        (
            "documents: {conduct: {nowhere: .5, everywhere: .4, one_domain: .2}}",
            r"conduct: nowhere .* must be 1",
        ),
        ("chat: {no_system: .5, conduct: .4, register: .2}", r"chat: no_system \+ conduct \+ register"),
        ("architecture: {hidden: 100, heads: 8}", r"architecture: hidden must be an even multiple of heads"),
        ("[1, 2]", r"holds a list where fields"),
        ("a: [", r"is not YAML"),
    ],
)
def test_a_wrong_field_is_named_with_the_file_its_value_and_what_is_allowed(tmp_path, text, told):
    with pytest.raises(ConfigError, match=told) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "world.yaml") in str(caught.value)


def test_a_file_that_is_missing_or_no_text_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.yaml does not exist"):
        WorldConfig.load(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.yaml is not YAML"):
        WorldConfig.load(tmp_path / "binary.yaml")


@pytest.mark.parametrize(
    "facts",
    [
        Facts(topics=4, open_topics=4, validation_topics=1, test_topics=2, sound=2, harmful=2),
        Facts(sound=4, harmful=4),
        Facts(validation_topics=1, test_topics=18),
    ],
)
def test_a_world_at_the_limits_can_be_made(facts):
    world = World(facts)
    assert all(world.topics(domain, "validation") for domain in world.all_domains)
    assert all(world.topics(domain, "test") for domain in world.all_domains)
    assert all(world.topics(domain, "train") for domain in world.domains)
