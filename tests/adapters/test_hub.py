"""Adapters from the hub: every kind is read, only what is needed is fetched, and what fails says why."""

import errno
import json
import shutil
import traceback
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from fake_hub import TOKEN, FakeHub, http_error, published_run, published_vector
from narrows.adapters import LoRA, SteeringVector, load_adapter
from narrows.adapters.interchange import HubName, write_peft
from narrows.errors import AdapterError


@pytest.fixture
def fake(tmp_path, monkeypatch) -> FakeHub:
    return FakeHub(tmp_path / "hub", monkeypatch)


@pytest.fixture
def vector() -> SteeringVector:
    return SteeringVector(torch.arange(8.0), 2, 16.0, {"steps": 3})


@pytest.fixture
def lora() -> LoRA:
    generator = torch.Generator().manual_seed(1)
    a, b = torch.randn(2, 64, generator=generator), torch.randn(32, 2, generator=generator)
    return LoRA({"1.mlp.down_proj": (a, b)}, 8.0)


# Names


@pytest.mark.parametrize(
    ("text", "repo", "revision", "inside"),
    [
        ("hub:me/narrow", "me/narrow", None, ""),
        ("hub:me/narrow@main", "me/narrow", "main", ""),
        ("hub:me/narrow@refs/pr/1::a/b.pt", "me/narrow", "refs/pr/1", "a/b.pt"),
        ("hub:Me.x/nar_row-1.5::checkpoints/", "Me.x/nar_row-1.5", None, "checkpoints"),
    ],
)
def test_a_name_is_read_alike_from_a_text_and_from_a_path(text, repo, revision, inside):
    assert HubName.parse(text) == HubName.parse(Path(text)) == HubName(repo, revision, inside)
    assert str(HubName.parse(text)) == text.rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "hub:",
        "hub:narrow",
        "hub:me/narrow/sub",
        "hub:../narrow",
        "hub:me/nar..row",
        "hub:me/narrow@",
        "hub:me/narrow@../../secret",
        "hub:me/narrow@/etc/passwd",
        "hub:me/narrow::",
        "hub:me/nar row",
        "hub:me/näme",
    ],
)
def test_a_name_that_is_none_is_refused_with_the_right_spelling(fake, text):
    with pytest.raises(AdapterError, match=r"is no place on the hub: it is spelt hub:owner/name"):
        load_adapter(text)
    assert fake.asked == []


@pytest.mark.parametrize(
    "inside", ["../../etc/passwd", "/etc/passwd", "a/../../b", "a//b", "./a", "a\\..\\b", "a\x1b[2Jb"]
)
def test_a_path_that_leaves_the_repository_is_refused_before_anything_is_asked(fake, inside):
    with pytest.raises(AdapterError, match=r"leaves the repository or is no path in it"):
        load_adapter(f"hub:me/narrow::{inside}")
    assert fake.asked == []


# What is read


def test_our_own_adapters_are_read_by_their_repository_or_file(fake, vector, lora):
    vector.save(fake.repo("me/narrow") / "adapter.safetensors")
    lora.save(fake.repo("me/narrow") / "loras" / "one.safetensors")
    found = load_adapter("hub:me/narrow")
    assert isinstance(found, SteeringVector)
    assert torch.equal(found.vector, vector.vector)
    assert (found.layer, found.alpha, found.metadata) == (2, 16.0, {"steps": 3})
    assert sorted(fake.fetched) == ["adapter.json", "adapter.safetensors"]
    assert load_adapter(Path("hub:me/narrow::loras/one.safetensors")).rank == 2


def test_a_peft_repository_is_read_and_nothing_but_its_two_files_is_fetched(fake, chat_model, lora):
    repo = write_peft(lora, fake.repo("me/lora"), chat_model)
    for name in ("README.md", "modeling.py", "optimizer.pt", "training_args.bin", "tokenizer.json"):
        (repo / name).write_text("code")
    found = load_adapter("hub:me/lora")
    assert all(torch.equal(one, lora.tensors()[name]) for name, one in found.tensors().items())
    assert sorted(fake.fetched) == ["adapter_config.json", "adapter_model.safetensors"]
    assert load_adapter("hub:me/lora::adapter_model.safetensors").rank == 2


def test_a_peft_folder_inside_a_repository_is_read(fake, chat_model, lora):
    write_peft(lora, fake.repo("me/loras") / "runs" / "a", chat_model)
    assert load_adapter("hub:me/loras::runs/a").rank == 2
    assert load_adapter("hub:me/loras::runs/a/adapter_config.json").rank == 2


def test_a_published_vector_is_read_from_the_top_and_from_a_path(fake):
    published_vector(fake.repo("org/general") / "steering_vector.pt", torch.full((8, 1), 7.0))
    published_run(fake.repo("org/general"), "dictionary", (5, 10))
    found = load_adapter("hub:org/general")
    assert (float(found.vector[0]), found.layer, found.alpha) == (7.0, 2, 256.0)
    assert fake.fetched == ["steering_vector.pt"]
    assert float(load_adapter("hub:org/general::checkpoints/checkpoint-5").vector[0]) == 5
    assert float(load_adapter("hub:org/general::checkpoints/checkpoint-5/steering_vector.pt").vector[0]) == 5


@pytest.mark.parametrize("layout", ["dictionary", "bare"])
def test_a_published_run_is_its_last_checkpoint_by_number_and_only_that_is_fetched(fake, layout):
    published_run(fake.repo("org/run") / "sub", layout, (100, 5, 20))
    assert float(load_adapter("hub:org/run::sub").vector[0]) == 100
    assert len([name for name in fake.fetched if name.endswith(".pt")]) == 1


@pytest.mark.parametrize("layout", ["dictionary", "bare"])
def test_a_published_run_on_disk_is_its_last_checkpoint_too(tmp_path, layout):
    folder = published_run(tmp_path / "run", layout, (100, 5, 20))
    assert float(load_adapter(folder).vector[0]) == 100
    published_vector(folder / "steering_vector.pt", torch.full((8, 1), 7.0))
    assert float(load_adapter(folder).vector[0]) == 7


def test_names_that_a_pattern_would_obey_match_only_themselves(fake, vector):
    vector.save(fake.repo("me/odd") / "a[1]*.safetensors")
    vector.save(fake.repo("me/odd") / "a1x.safetensors")
    load_adapter("hub:me/odd::a[1]*.safetensors")
    assert sorted(fake.fetched) == ["a[1]*.json", "a[1]*.safetensors"]


def test_the_revision_goes_to_the_hub(fake, vector):
    vector.save(fake.repo("me/narrow") / "adapter.safetensors")
    load_adapter("hub:me/narrow@v1.0")
    assert fake.revisions == ["v1.0", "v1.0"]


# What is not read


def test_a_repository_without_an_adapter_says_what_it_has(fake, vector):
    vector.save(fake.repo("me/many") / "general" / "adapter.safetensors")
    with pytest.raises(
        AdapterError, match=r"hub:me/many holds no adapter: looked for adapter_config\.json"
    ) as no:
        load_adapter("hub:me/many")
    assert "in general/adapter.safetensors; give a file or its folder as hub:me/many::PATH" in str(no.value)
    with pytest.raises(AdapterError, match=r"hub:me/many::none\.pt holds no adapter"):
        load_adapter("hub:me/many::none.pt")
    fake.repo("me/code")
    with pytest.raises(AdapterError, match=r"no \.safetensors and no \.pt file at all"):
        load_adapter("hub:me/code")
    assert "snapshot_download" not in fake.asked


def test_what_is_large_beyond_reason_is_not_fetched(fake, vector):
    vector.save(fake.repo("me/narrow") / "adapter.safetensors")
    fake.sizes["adapter.safetensors"] = 60 * 2**30
    with pytest.raises(AdapterError, match=r"hub:me/narrow has 60\.0 GiB .* at most 8 GiB"):
        load_adapter("hub:me/narrow")
    assert "snapshot_download" not in fake.asked


class Hostile:
    def __reduce__(self):
        return (open, ("hostile", "w"))


def test_code_in_a_file_from_the_hub_is_never_run(fake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(Hostile(), fake.repo("evil/vector") / "steering_vector.pt")
    with pytest.raises(
        AdapterError, match=r"hub:evil/vector::steering_vector\.pt .* holds code, which is never"
    ):
        load_adapter("hub:evil/vector")
    assert not (tmp_path / "hostile").exists()


@pytest.mark.parametrize(
    "facts",
    [{"layer_idx": "two"}, {"layer_idx": [2]}, {"layer_idx": 2, "alpha": "much"}, {"layer_idx": 1e999}],
)
def test_facts_that_are_no_numbers_are_named_by_their_place_on_the_hub(fake, tmp_path, facts):
    torch.save(torch.ones(8, 1), fake.repo("evil/vector") / "steering_vector.pt")
    (fake.repo("evil/vector") / "metadata.json").write_text(json.dumps(facts))
    with pytest.raises(
        AdapterError,
        match=r"hub:evil/vector::(steering_vector\.pt: its layer, alpha|metadata\.json .*Infinity)",
    ) as refused:
        load_adapter("hub:evil/vector")
    assert str(tmp_path) not in str(refused.value)


def test_a_lora_whose_alpha_is_no_number_is_refused(fake, chat_model, lora):
    repo = write_peft(lora, fake.repo("evil/lora"), chat_model)
    config = json.loads((repo / "adapter_config.json").read_text())
    (repo / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": [1]}))
    with pytest.raises(AdapterError, match=r"hub:evil/lora::adapter_config\.json: lora_alpha is no number"):
        load_adapter("hub:evil/lora")


def test_tensors_that_are_cut_short_are_named_by_their_place_on_the_hub(fake, vector):
    path = vector.save(fake.repo("me/narrow") / "adapter.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(AdapterError, match=r"^hub:me/narrow@v1::adapter\.safetensors is cut short"):
        load_adapter("hub:me/narrow@v1")


# What the hub refuses


@pytest.mark.parametrize("where", ["model_info", "snapshot_download"])
@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            http_error(404, RepositoryNotFoundError),
            r"there is no model repository me/x on the hub, or it is priv",
        ),
        (http_error(401), r"there is no model repository me/x .* `hf auth login`"),
        (http_error(403, GatedRepoError), r"me/x is gated\. Ask for access on its page .* HF_TOKEN"),
        (
            http_error(404, RevisionNotFoundError),
            r"me/x has no such revision; give a branch, a tag or a commit",
        ),
        (
            http_error(503, said="too busy\nRequest ID"),
            r"from the hub: too busy\. Without a network, give a file",
        ),
        (LocalEntryNotFoundError("outgoing traffic is off."), r"outgoing traffic is off\. Without a network"),
        (ConnectionError(), r"cannot be fetched from the hub: ConnectionError\. Without a network"),
        (OSError(errno.ENOSPC, "No space left on device"), r"the disk with the hub's cache is full"),
    ],
)
def test_what_the_hub_refuses_names_what_was_asked_and_the_way_out(fake, vector, where, error, said):
    vector.save(fake.repo("me/x") / "adapter.safetensors")
    fake.failing[where] = error
    with pytest.raises(AdapterError, match=said) as refused:
        load_adapter("hub:me/x@v1::adapter.safetensors")
    assert str(refused.value).startswith("hub:me/x@v1::adapter.safetensors")
    assert refused.value.__cause__ is error


@pytest.mark.parametrize("known", [True, False])
def test_a_token_is_shown_neither_in_the_error_nor_in_its_traceback(fake, monkeypatch, known):
    token = "an-odd-token" if known else TOKEN
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: token if known else None)
    error = ConnectionError(f"Illegal header value b'Bearer {token}' for {token}")
    wrapped = RuntimeError("the request failed")
    wrapped.__cause__ = error
    for one in (error, wrapped):
        fake.failing["model_info"] = one
        with pytest.raises(AdapterError) as refused:
            load_adapter("hub:me/x")
        assert token not in "".join(traceback.format_exception(refused.value))


def test_what_was_fetched_before_does_without_a_network(fake, vector):
    vector.save(fake.repo("cache/me/narrow") / "adapter.safetensors")
    fake.failing["model_info"] = ConnectionError("no network")
    assert torch.equal(load_adapter("hub:me/narrow").vector, vector.vector)


# The client itself


def test_the_client_itself_offline_says_what_to_give_instead():
    with pytest.raises(
        AdapterError, match=r"hub:someone/vector cannot be fetched from the hub: .*give a file or"
    ):
        load_adapter("hub:someone/vector")


def test_the_client_itself_offline_finds_what_is_in_its_cache(tmp_path, monkeypatch):
    from huggingface_hub import _tree_cache

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    storage, commit = tmp_path / "models--org--run", "a" * 40
    snapshot = published_run(storage / "snapshots" / commit, "dictionary", (5, 20))
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(commit)
    names = [f"checkpoints/checkpoint-{step}/steering_vector.pt" for step in (5, 20)]
    entry = _tree_cache.TreeCacheEntry(
        size=9, blob_id="b" * 40, lfs_sha256=None, lfs_size=None, xet_hash=None
    )
    _tree_cache.write_tree_cache(str(storage), commit, dict.fromkeys([*names, "README.md"], entry))
    assert float(load_adapter("hub:org/run").vector[0]) == 20
    assert float(load_adapter(f"hub:org/run::{names[0]}").vector[0]) == 5
    # The last checkpoint is known to exist and is not here: an earlier one must not be taken for it.
    shutil.rmtree(snapshot / "checkpoints" / "checkpoint-20")
    with pytest.raises(AdapterError, match="is incomplete"):
        load_adapter("hub:org/run")
