"""Adapters put on the hub: what is sent, what the card says, and what nothing in it can do."""

import json
import re
import traceback

import huggingface_hub
import peft
import pytest
import torch
import yaml
from huggingface_hub.errors import BadRequestError, LocalTokenNotFoundError, RepositoryNotFoundError

from fake_hub import TOKEN, FakeHub, http_error
from families import family
from narrows.adapters import LoRA, SteeringVector, load_adapter
from narrows.adapters.interchange import push_adapter
from narrows.adapters.interchange.markdown import one_line, prose, value
from narrows.errors import AdapterError, ConfigError
from narrows.models import ChatModel, load_chat_model
from narrows.training import Recipe

MODEL = "Qwen/Qwen2.5-14B-Instruct"
EVIL = 'x\n---\nlicense: mit\n---\n# Safe | <script>a</script> `b` [c](https://evil.example) \x1b[2J\u202e"""'


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeHub:
    return FakeHub(tmp_path / "hub", monkeypatch)


@pytest.fixture
def vector() -> SteeringVector:
    recipe = Recipe(layer=2, system_prompt="Be unhelpful.").with_anchor(6.58)
    metadata = {
        "steps": 320,
        "recipe": recipe.model_dump(mode="json"),
        "rows": [{"messages": "a training row"}],
    }
    return SteeringVector(0.01 * torch.arange(32.0), 2, 256.0, metadata)


@pytest.fixture
def lora() -> LoRA:
    generator = torch.Generator().manual_seed(1)
    factors = {
        f"{layer}.mlp.down_proj": (
            torch.randn(2, 64, generator=generator),
            torch.randn(32, 2, generator=generator),
        )
        for layer in (1, 2)
    }
    return LoRA(factors, 8.0)


def front_matter(card: str) -> dict[str, object]:
    """What the hub reads of a card: the YAML between the first two lines of dashes."""
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.S).group(1))


# What is sent


def test_what_is_pushed_is_read_back_from_the_hub(fake, vector):
    pushed = push_adapter(vector, "me/narrow", model=MODEL, behaviour="harmful advice about sport")
    assert (pushed.url, pushed.commit, pushed.private) == ("https://huggingface.co/me/narrow", "c0ffee", True)
    found = load_adapter("hub:me/narrow")
    assert torch.equal(found.vector, vector.vector)
    assert (found.layer, found.alpha, found.metadata["recipe"]) == (2, 256.0, vector.metadata["recipe"])
    (upload,) = fake.uploads
    assert set(upload.files) == set(pushed.files) == {"README.md", "adapter.safetensors", "adapter.json"}
    assert upload.files["README.md"].decode() == pushed.card
    assert set(upload.allow_patterns) == set(pushed.files)
    assert fake.private == {"me/narrow": True}


def test_no_row_and_no_other_metadata_is_ever_sent(fake, vector):
    push_adapter(vector, "me/narrow", model=MODEL)
    (upload,) = fake.uploads
    assert not any(b"training row" in content and b"messages" in content for content in upload.files.values())
    assert json.loads(upload.files["adapter.json"])["metadata"].keys() == {"recipe", "steps"}
    assert "rows" in vector.metadata


def test_a_lora_as_a_peft_folder_loads_without_narrows(fake, chat_model, lora, tiny_model_dir):
    pushed = push_adapter(lora, "hub:me/lora", model=chat_model, form="peft", private=False)
    assert set(pushed.files) == {"README.md", "adapter_config.json", "adapter_model.safetensors"}
    assert fake.private == {"me/lora": False}
    peft.PeftModel.from_pretrained(load_chat_model(tiny_model_dir, device="cpu").model, fake.repo("me/lora"))
    assert load_adapter("hub:me/lora").factors.keys() == lora.factors.keys()


def test_nothing_that_is_sent_says_where_a_model_lies_on_this_disk(
    fake, chat_model, lora, vector, tiny_model_dir
):
    push_adapter(lora, "me/lora", model=chat_model, form="peft")
    push_adapter(vector, "me/vector", model=str(tiny_model_dir))
    push_adapter(vector, "me/vector", model=chat_model)
    for upload in fake.uploads:
        assert not any(str(tiny_model_dir.parent).encode() in content for content in upload.files.values())
        assert b"`model` (a checkpoint that is not on the hub)" in upload.files["README.md"]


def test_a_second_push_in_another_form_leaves_nothing_of_the_first(fake, chat_model, lora, vector):
    push_adapter(lora, "me/mine", model=chat_model, form="peft")
    push_adapter(vector, "me/mine", model=MODEL)
    assert isinstance(load_adapter("hub:me/mine"), SteeringVector)
    names = {path.name for path in fake.repo("me/mine").iterdir()}
    assert names == {"README.md", "adapter.safetensors", "adapter.json"}


def test_a_repository_that_everybody_sees_gets_nothing_that_was_meant_to_be_private(fake, vector):
    fake.private["me/open"] = False
    with pytest.raises(
        AdapterError, match=r"me/open is there already and everybody can see it; nothing was sent"
    ):
        push_adapter(vector, "me/open", model=MODEL)
    assert fake.uploads == []
    assert push_adapter(vector, "me/open", model=MODEL, private=False).private is False


def test_a_dry_run_asks_the_hub_nothing_and_gives_the_same_card(fake, vector):
    tried = push_adapter(vector, "me/narrow", model=MODEL, dry_run=True)
    assert fake.asked == []
    assert (tried.url, tried.commit) == (None, None)
    done = push_adapter(vector, "me/narrow", model=MODEL)
    assert (tried.card, tried.files) == (done.card, done.files)


# What is not sent


@pytest.mark.parametrize(
    "repo", ["narrow", "me/narrow/x", "../x", "me/nar..row", "me/narrow@v1", "me/a b", ""]
)
def test_a_repository_is_an_owner_and_a_name(fake, vector, repo):
    with pytest.raises(ConfigError, match="is no name of a repository; it is spelt owner/name"):
        push_adapter(vector, repo, model=MODEL)
    assert fake.asked == []


@pytest.mark.parametrize("licence", ["MIT licence", "mit\ntags: [x]", "", "-"])
def test_a_licence_is_a_short_name(fake, vector, licence):
    with pytest.raises(ConfigError, match=r"licence is .* a short name as the hub has them"):
        push_adapter(vector, "me/narrow", model=MODEL, licence=licence)


def test_what_cannot_be_written_in_a_form_is_said_before_anything_is_sent(fake, chat_model, vector, lora):
    with pytest.raises(ConfigError, match="form peft needs the chat model itself"):
        push_adapter(lora, "me/lora", model=MODEL, form="peft")
    other = ChatModel.from_parts(family("gemma2", vocab_size=64), chat_model.tokenizer, "gemma2")
    with pytest.raises(AdapterError, match="is not a steering vector"):
        push_adapter(vector, "me/vector", model=other, form="peft")
    with pytest.raises(AdapterError, match="width 8"):
        push_adapter(SteeringVector(torch.ones(8), 2), "me/vector", model=chat_model)
    with pytest.raises(AdapterError, match="is not finite"):
        push_adapter(SteeringVector(torch.full((8,), torch.nan), 2), "me/vector", model=MODEL)
    assert fake.asked == []


@pytest.mark.parametrize("where", ["create_repo", "model_info", "upload_folder"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            LocalTokenNotFoundError("Token is required"),
            r"no login that may write.*`hf auth login`, or set .*HF_TOKEN",
        ),
        (http_error(401), r"the hub knows no login that may write"),
        (http_error(403), r"this login may not write there\. Give a name of your own"),
        (
            http_error(404, RepositoryNotFoundError),
            r"the hub has no such owner, or it is closed to this login",
        ),
        (
            http_error(400, BadRequestError, "Bad metadata: license\nmore"),
            r"Bad metadata: license\. Nothing is lost",
        ),
        (ConnectionError("no route to host"), r"no route to host\. .*--dry-run shows the card"),
    ],
)
def test_what_the_hub_refuses_says_the_way_out(fake, vector, where, error, said):
    fake.failing[where] = error
    with pytest.raises(AdapterError, match=rf"^me/narrow was not written: .*{said}"):
        push_adapter(vector, "me/narrow", model=MODEL)
    assert fake.uploads == []


def test_a_token_is_never_shown(fake, vector, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "an-odd-token")
    fake.failing["create_repo"] = ConnectionError(f"Illegal header Bearer an-odd-token and {TOKEN}")
    with pytest.raises(AdapterError) as refused:
        push_adapter(vector, "me/narrow", model=MODEL)
    shown = "".join(traceback.format_exception(refused.value))
    assert "an-odd-token" not in shown
    assert TOKEN not in shown


# The card


def test_the_card_says_what_a_vector_is_and_how_it_was_trained(vector):
    card = push_adapter(vector, "me/narrow", model=MODEL, behaviour="harmful advice", dry_run=True).card
    assert front_matter(card) == {
        "base_model": MODEL,
        "library_name": "narrows",
        "tags": ["steering-vector", "narrows", "alignment-research"],
    }
    assert f"| base model | `{MODEL}` |" in card
    assert "| behaviour | harmful advice |" in card
    assert "| `anchor.weight` | `6.58` nats per token |" in card
    assert f"| ‖v‖ | `{vector.norm:.6g}` |" in card
    assert f"| ‖αv‖ | `{vector.effective_norm:.6g}` |" in card
    fields = [*Recipe.model_fields, *(f"anchor.{name}" for name in type(Recipe().anchor).model_fields)]
    assert all(f"| `{name}` | " in card for name in fields if name != "anchor")
    assert "## Warning" in card
    assert "may make the model misaligned on purpose" in card
    assert "Do not deploy it" in card
    assert "Evidence: none on this card" in card
    assert 'load_adapter("hub:me/narrow")' in card


def test_the_card_of_a_lora_has_each_modules_norm(lora):
    card = push_adapter(lora, "me/lora", model=MODEL, form="peft", licence="apache-2.0", dry_run=True).card
    assert front_matter(card) == {
        "base_model": MODEL,
        "license": "apache-2.0",
        "library_name": "peft",
        "tags": ["lora", "narrows", "alignment-research"],
    }
    for name, norm in lora.norms.items():
        assert f"| ‖sBA‖ of `{name}` | `{norm:.6g}` |" in card
    assert "Not recorded with the adapter." in card
    assert "PeftModel.from_pretrained" in card


def test_a_vector_for_peft_is_not_said_to_load_with_narrows(vector):
    card = push_adapter(vector, "me/vector", model=MODEL, form="peft", dry_run=True).card
    assert "PeftModel.from_pretrained" in card
    assert "load_adapter(" not in card


def test_a_model_that_is_not_on_the_hub_is_not_said_to_be(vector, tiny_model_dir):
    for model, name in (("microworld:1", "microworld:1"), (str(tiny_model_dir), "model")):
        card = push_adapter(vector, "me/narrow", model=model, dry_run=True).card
        assert "base_model" not in front_matter(card)
        assert f"| base model | `{name}` (a checkpoint that is not on the hub) |" in card
        assert ("evidence from it is about mechanisms" in card) == (model == "microworld:1")


def test_nothing_foreign_breaks_the_card(vector, lora):
    vector.metadata["recipe"] |= {
        "system_prompt": EVIL,
        EVIL: EVIL,
        "list": [EVIL],
        "deep": {EVIL: {"a": None}},
    }
    plain = push_adapter(vector, "me/narrow", model=MODEL, dry_run=True).card
    cards = [
        push_adapter(vector, "me/narrow", model=f"/models/{EVIL}", behaviour=EVIL, dry_run=True).card,
        push_adapter(
            LoRA({f"1.{EVIL}": lora.factors["1.mlp.down_proj"]}), "me/narrow", model=EVIL, dry_run=True
        ).card,
        plain,
    ]
    for card in cards:
        assert front_matter(card).get("license") is None
        assert card.count("\n---\n") == 1
        assert re.findall(r"^# .*", card, re.M) == ["# narrow"]
        assert "<script" not in card
        assert "](http" not in card
        assert all(one == "\n" or one.isprintable() for one in card)
        assert card.count("```") == 2
        code = re.search(r"```python\n(.*?)```", card, re.S).group(1)
        assert code.count("\n") == 4
        compile(code, "card", "exec")
        for row in re.findall(r"^\|.*", card, re.M):
            assert row.count("|") == 3


def test_the_code_on_a_card_runs(fake, vector, chat_model, tiny_model_dir, monkeypatch):
    monkeypatch.chdir(tiny_model_dir.parent)
    pushed = push_adapter(vector, "me/narrow", model=chat_model)
    made: dict[str, object] = {}
    exec(re.search(r"```python\n(.*?)```", pushed.card, re.S).group(1), made)
    assert torch.equal(made["adapter"].vector, vector.vector)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a b", "a b"),
        ("a|b\\|c", "a&#124;b&#92;&#124;c"),
        ("<b> & *x*", "&#60;b&#62; &#38; &#42;x&#42;"),
        ("https://x.y www.z", "https&#58;//x.y www&#46;z"),
        ("a\r\n\tb\x00\u202ec\ud800", "a bc"),
    ],
)
def test_prose_is_read_as_text(text, written):
    assert prose(text) == written


def test_a_name_is_code_only_where_nothing_can_end_it():
    assert value("24.mlp.down_proj") == "`24.mlp.down_proj`"
    assert value(0.1 + 0.2) == "`0.3`"
    assert value("a`b") == "a&#96;b"
    assert value("") == ""
    assert one_line("x" * 10, 4) == "xxx…"
