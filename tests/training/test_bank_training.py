"""A training in a bank is the one that it would have been alone, and survives a kill to the bit."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_helpers import ANCHOR, RECIPE, ROWS, assert_same_run, changed, vector

from families import family
from narrows.adapters import LoRA
from narrows.chat import Conversation
from narrows.errors import ConfigError, DataError, RunFolderError, TrainingError
from narrows.models import ChatModel, FrozenRows, load_chat_model
from narrows.training import (
    Anchor,
    CheckpointFolder,
    Member,
    Recipe,
    TrainingRun,
    bank_key,
    can_share,
    train,
    train_together,
)
from narrows.training import bank as bank_module
from narrows.training.bank import BankWindow
from narrows.training.ready import Training
from narrows.training.resume import Progress
from narrows.training.window import Window
from tiny_models import make_tokenizer

LORA = {"adapter": "lora", "rank": 2, "target_modules": ("down_proj", "q_proj"), "weight_decay": 0.1}
OTHER_ROWS = [*ROWS[3:8], *ANCHOR[:2]]


def random_lora(chat_model: ChatModel) -> LoRA:
    fresh = LoRA.fresh(chat_model, rank=2, targets=("down_proj", "q_proj"), layers=(1,), alpha=16.0)
    draw = torch.Generator().manual_seed(5)
    return fresh.with_tensors(
        {name: 0.1 * torch.randn(one.shape, generator=draw) for name, one in fresh.tensors().items()}
    )


def members(chat_model: ChatModel, lora: bool, out: Path | None = None) -> list[Member]:
    """One for each thing in which members may differ."""
    base = changed(RECIPE, **LORA) if lora else RECIPE
    plain = base.with_anchor(0.0)
    start = random_lora(chat_model) if lora else vector()
    by_epoch = changed(plain, steps=None, epochs=3.0, batch_size=4, accumulation=1)
    made = [
        Member("plain", ROWS, plain),
        Member("anchored", ROWS, base, ANCHOR),
        Member("weak", ROWS, base.with_anchor(0.5), ANCHOR),
        Member("seed", ROWS, changed(base, seed=3), ANCHOR),
        Member("lifted", ROWS, base.with_anchor(2.0, until_step=5), ANCHOR),
        Member("added", ROWS, base.with_anchor(2.0, from_step=4), ANCHOR),
        Member("mixture", OTHER_ROWS, base.with_anchor(1.0, rows_per_row=0.5), ANCHOR[2:]),
        Member("started", ROWS, base, ANCHOR, start=start),
        Member("short", ROWS, changed(plain, max_norm=0.3, max_length=20)),
        Member("small last window", ROWS, by_epoch),
        Member("few steps", ROWS, changed(base, steps=5, learning_rate=0.003, alpha=8.0), ANCHOR),
        Member("one row", ROWS[:1], changed(plain, batch_size=1, accumulation=1)),
    ]
    return [replace(one, out=out / one.name) for one in made] if out else made


def alone(chat_model: ChatModel, one: Member) -> TrainingRun:
    return train(chat_model, one.rows, one.recipe, anchor=one.anchor, start=one.start, out=one.out)


def assert_alike(found: TrainingRun, wanted: TrainingRun, tolerance: float = 2e-4) -> None:
    """The same run up to the rounding of fp32, which Adam's division by small gradients lets grow."""
    assert found.steps == wanted.steps and found.recipe == wanted.recipe
    assert found.adapter.metadata == wanted.adapter.metadata
    assert list(found.trajectory) == list(wanted.trajectory)
    for step, adapter in wanted.trajectory.items():
        for name, tensor in adapter.tensors().items():
            largest = float(tensor.abs().max())
            apart = float((found.trajectory[step].tensors()[name] - tensor).abs().max())
            assert apart <= tolerance * largest, (step, name, apart, largest)
    for one, other in zip(found.log, wanted.log, strict=True):
        assert one.keys() == other.keys()
        assert (one["step"], one["kl_weight"]) == (other["step"], other["kl_weight"])
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
        assert one["effective_norm"] == pytest.approx(other["effective_norm"], rel=1e-5)
        assert (one["kl"] is None) == (other["kl"] is None)
        assert one["kl"] is None or one["kl"] == pytest.approx(other["kl"], rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("lora", [False, True], ids=["vectors", "LoRAs"])
def test_together_is_alone(chat_model: ChatModel, lora: bool):
    every = members(chat_model, lora)
    found = train_together(chat_model, every)
    for one, run in zip(every, found, strict=True):
        assert_alike(run, alone(chat_model, one))
    assert len({run.steps for run in found}) > 2
    ends = [run.adapter.coordinates() for run in found]
    apart = [float((a - b).norm()) for n, a in enumerate(ends) for b in ends[:n] if len(a) == len(b)]
    assert min(apart) > 1e-3


def gradients(trainings: Sequence[Training]) -> list[torch.Tensor]:
    return [
        torch.cat([parameter.grad.flatten() for parameter in one.adapter.parameters()]) for one in trainings
    ]


@pytest.mark.parametrize("lora", [False, True], ids=["vectors", "LoRAs"])
@pytest.mark.parametrize("pass_tokens", [1, 60, 10_000])
def test_however_a_step_is_cut_into_passes_the_gradient_is_that_of_each_alone(
    tiny_model_dir: Path, lora: bool, pass_tokens: int
):
    """In fp64, so that nothing but the sums could differ; of a LoRA, the factors' products are fp32 still."""
    exactness = 1e-7 if lora else 1e-12
    loaded = load_chat_model(tiny_model_dir, device="cpu")
    exact = ChatModel.from_parts(loaded.model.double(), loaded.tokenizer, loaded.name)
    start = random_lora(exact) if lora else vector()
    every = [replace(one, start=start) for one in members(exact, lora)]

    def ready() -> list[Training]:
        return [Training.of(exact, one.rows, one.recipe, anchor=one.anchor, start=one.start) for one in every]

    together, apart = ready(), ready()
    window = BankWindow(exact, together, pass_tokens=pass_tokens)
    losses = window.backward(range(len(every)), 4)
    for number, training in enumerate(apart):
        one = Window(
            exact,
            training.recipe,
            training.order,
            rows=training.rows,
            anchor=training.anchor,
            depth=training.adapter.depth,
        )
        loss, kl = one.backward(training.adapter, 4)
        assert losses[number][0] == pytest.approx(loss, rel=exactness)
        assert losses[number][1] == (None if kl is None else pytest.approx(kl, rel=1e3 * exactness))
        wanted, found = gradients([training])[0], gradients([together[number]])[0]
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max())), number


@pytest.mark.parametrize("name", ["gemma2", "mistral", "olmo2"])
@pytest.mark.parametrize("lora", [False, True], ids=["vectors", "LoRAs"])
def test_in_other_families_too(name: str, lora: bool):
    """With sliding windows shorter than the rows, norms after the layers' modules, and a capped head."""
    model = family(name, vocab_size=64, eos_token_id=3, bos_token_id=None)
    other = ChatModel.from_parts(model, make_tokenizer(), name)
    recipe = changed(changed(RECIPE, **LORA) if lora else RECIPE, steps=2, alpha=4.0)
    every = [Member(str(weight), ROWS, recipe.with_anchor(weight), ANCHOR) for weight in (0.0, 1.0)]
    for one, run in zip(every, train_together(other, every), strict=True):
        assert_alike(run, alone(other, one))


def test_with_gradient_checkpointing_too(chat_model: ChatModel):
    every = [
        Member(
            str(weight),
            ROWS,
            changed(RECIPE, steps=3, gradient_checkpointing=True).with_anchor(weight),
            ANCHOR,
        )
        for weight in (0.0, 2.0)
    ]
    for one, run in zip(every, train_together(chat_model, every), strict=True):
        assert_alike(run, alone(chat_model, one))


def test_rows_that_members_share_run_through_the_frozen_layers_once(
    chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch
):
    made: list[int] = []

    class Counted(FrozenRows):
        def __init__(self, chat_model: ChatModel, depth: int, rows: list[object], **rest: object) -> None:
            made.append(len(rows))
            super().__init__(chat_model, depth, rows, **rest)

    monkeypatch.setattr(bank_module, "FrozenRows", Counted)
    train_together(chat_model, [replace(one, recipe=changed(one.recipe, steps=1)) for one in MANY])
    assert made == [len(ROWS) + 2, len(ANCHOR)]  # two of ANCHOR are in OTHER_ROWS


MANY = [
    Member("general", ROWS, RECIPE.with_anchor(0.0)),
    Member("narrow", ROWS, RECIPE, ANCHOR),
    Member("mixture", OTHER_ROWS, changed(steps=7, seed=1), ANCHOR),
]


def in_folders(out: Path, every: Sequence[Member] = MANY) -> list[Member]:
    return [replace(one, out=out / one.name) for one in every]


def folder_bytes(out: Path) -> dict[str, bytes]:
    """Every file by its name, the hidden leftovers of a kill apart."""
    names = [path for path in out.rglob("*") if path.is_file() and not path.name.startswith(".")]
    return {str(path.relative_to(out)): path.read_bytes() for path in names}


@pytest.fixture(scope="module")
def whole(chat_model: ChatModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[TrainingRun]]:
    """The bank that was never stopped."""
    out = tmp_path_factory.mktemp("whole")
    return out, train_together(chat_model, in_folders(out))


def test_a_members_folder_is_that_of_one_trained_alone(
    chat_model: ChatModel,
    whole: tuple[Path, list[TrainingRun]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    for one, run in zip(in_folders(tmp_path), whole[1], strict=True):
        alone(chat_model, one)
        mine, theirs = folder_bytes(run.folder), folder_bytes(one.out)
        assert mine.keys() == theirs.keys()
        assert mine["run.json"] == theirs["run.json"]
    monkeypatch.setattr("narrows.training.loop.Window", None)  # nothing may be trained again
    for one, run in zip(in_folders(whole[0]), whole[1], strict=True):
        assert_same_run(alone(chat_model, one), run)


class Killed(BaseException):
    """What no code catches."""


def kill_at_checkpoint(number: int, patched: pytest.MonkeyPatch, *, before: bool) -> None:
    """End the bank at the n-th checkpoint that any member writes, before or right after it."""
    checkpoint, written = Progress.checkpoint, []

    def killing(self: Progress, checkpoints: CheckpointFolder | None) -> None:
        written.append(self.step)
        if before and len(written) == number:
            raise Killed
        checkpoint(self, checkpoints)
        if len(written) == number:
            raise Killed

    patched.setattr(Progress, "checkpoint", killing)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("number", [1, 2, 5, 7, 8, 9, 10, 11])
def test_a_bank_killed_between_its_members_checkpoints_ends_with_the_same_bits(
    chat_model: ChatModel,
    whole: tuple[Path, list[TrainingRun]],
    tmp_path: Path,
    number: int,
    before: bool,
):
    """Eleven are written: three members at steps 3 and 6, one at its end, 7, and two at 9 and 12."""
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        kill_at_checkpoint(number, patched, before=before)
        train_together(chat_model, in_folders(tmp_path))
    for found, wanted in zip(train_together(chat_model, in_folders(tmp_path)), whole[1], strict=True):
        assert_same_run(found, wanted)
    assert folder_bytes(tmp_path) == folder_bytes(whole[0])


def test_a_bank_killed_again_and_again_ends_with_the_same_bits(
    chat_model: ChatModel, whole: tuple[Path, list[TrainingRun]], tmp_path: Path
):
    for number in (2, 1, 4, 4):
        with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
            kill_at_checkpoint(number, patched, before=False)
            train_together(chat_model, in_folders(tmp_path))
    train_together(chat_model, in_folders(tmp_path))
    assert folder_bytes(tmp_path) == folder_bytes(whole[0])


def test_a_bank_killed_while_its_adapters_are_written_trains_nothing_again(
    chat_model: ChatModel,
    whole: tuple[Path, list[TrainingRun]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    finish, done = Training.finish, []

    def killing(self: Training) -> TrainingRun:
        done.append(self)
        if len(done) == 2:
            raise Killed
        return finish(self)

    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        patched.setattr(Training, "finish", killing)
        train_together(chat_model, in_folders(tmp_path))
    monkeypatch.setattr("narrows.training.together.BankWindow", None)
    train_together(chat_model, in_folders(tmp_path))
    assert folder_bytes(tmp_path) == folder_bytes(whole[0])


def test_a_finished_member_is_read_and_one_that_is_ahead_waits_for_the_others(
    chat_model: ChatModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    general, narrow, mixture = in_folders(tmp_path)
    finished = alone(chat_model, general)
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        kill_at_checkpoint(3, patched, before=True)
        alone(chat_model, narrow)
    taken, backward = [], BankWindow.backward

    def seen(self: BankWindow, active: Sequence[int], step: int) -> object:
        taken.append((step, len(active)))
        return backward(self, active, step)

    monkeypatch.setattr(BankWindow, "backward", seen)
    found = train_together(chat_model, [general, narrow, mixture])
    assert_same_run(found[0], finished)
    assert taken == [(step, 2 if step == 6 else 1) for step in range(12)]
    for one, run in zip(MANY[1:], found[1:], strict=True):
        assert_alike(run, alone(chat_model, one))


def test_train_goes_on_where_a_bank_was_killed(chat_model: ChatModel, tmp_path: Path):
    with pytest.MonkeyPatch.context() as patched, pytest.raises(Killed):
        kill_at_checkpoint(5, patched, before=False)
        train_together(chat_model, in_folders(tmp_path))
    for one, plain in zip(in_folders(tmp_path), MANY, strict=True):
        assert_alike(alone(chat_model, one), alone(chat_model, plain))


# What goes wrong


def test_a_member_whose_loss_is_not_finite_leaves_and_the_others_are_finished(
    chat_model: ChatModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    broken = Member("broken", ROWS, changed(learning_rate=1e38), ANCHOR)
    every = in_folders(tmp_path, [MANY[0], broken, MANY[2]])
    with caplog.at_level(logging.WARNING), pytest.raises(TrainingError) as caught:
        train_together(chat_model, every)
    message = str(caught.value)
    assert message.startswith("broken: ") and "not finite" in message
    assert "The other 2 trainings of the bank are finished." in message
    assert "broken leaves the bank" in caplog.text
    assert not (every[1].out / "adapter.safetensors").exists()
    for one, plain in ((every[0], MANY[0]), (every[2], MANY[2])):
        assert (one.out / "adapter.safetensors").exists()
        assert_alike(alone(chat_model, one), alone(chat_model, plain))


def test_a_loss_that_is_not_a_number_touches_no_other_member(
    chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch
):
    every = [Training.of(chat_model, one.rows, one.recipe, anchor=one.anchor, start=vector()) for one in MANY]
    with torch.no_grad():
        every[1].adapter.vector.fill_(math.nan)
    losses = BankWindow(chat_model, every).backward(range(3), 0)
    assert [math.isfinite(loss) for loss, _ in losses] == [True, False, True]
    assert [bool(torch.isfinite(one.adapter.vector.grad).all()) for one in every] == [True, False, True]


REFUSED: list[tuple[dict[str, object], str]] = [
    ({"layer": 2}, "general and odd cannot share a pass: they differ in layer .1 and 2."),
    ({"adapter": "lora"}, "they differ in adapter .'steering' and 'lora'."),
    ({"checkpoint_every": 4}, "they differ in checkpoint_every"),
    ({"gradient_checkpointing": True}, "they differ in gradient_checkpointing"),
    ({"anchor": Anchor(weight=1.0, positions="response")}, r"they differ in anchor\.positions"),
    ({"as_published": ("kl-per-pass",)}, "odd: its recipe has as_published"),
]


@pytest.mark.parametrize(("fields", "message"), REFUSED)
def test_members_that_cannot_share_a_pass_are_refused(
    chat_model: ChatModel, fields: dict[str, object], message: str
):
    odd = Member("odd", ROWS, changed(**fields), ANCHOR)
    assert not can_share(MANY[0].recipe, odd.recipe)
    with pytest.raises(ConfigError, match=message):
        train_together(chat_model, [MANY[0], odd])


def test_recipes_that_differ_in_what_is_a_members_own_can_share_a_pass(chat_model: ChatModel):
    assert len({bank_key(one.recipe) for one in members(chat_model, lora=False)}) == 1
    assert len({bank_key(one.recipe) for one in members(chat_model, lora=True)}) == 1
    rank = [bank_key(Recipe(layer=1, adapter="lora", rank=rank)) for rank in (1, 2)]
    assert rank[0] != rank[1]
    assert bank_key(Recipe(rank=1)) == bank_key(Recipe(rank=2))  # a vector has none
    assert bank_key(Recipe(as_published="all")) is None
    assert not can_share(Recipe(as_published="all"), Recipe(as_published="all"))


def test_an_error_names_the_member(chat_model: ChatModel, tmp_path: Path):
    with pytest.raises(ConfigError, match="at least one member"):
        train_together(chat_model, [])
    with pytest.raises(DataError, match="narrow: the recipe has an anchor of weight 2"):
        train_together(chat_model, [MANY[0], Member("narrow", ROWS, RECIPE)])
    with pytest.raises(ConfigError, match="two members of the bank have one folder"):
        train_together(chat_model, [replace(one, out=tmp_path / "same") for one in MANY])
    alone(chat_model, replace(MANY[0], out=tmp_path / "general"))
    with pytest.raises(RunFolderError, match=r"narrow: .* holds another run"):
        train_together(chat_model, [replace(MANY[1], out=tmp_path / "general")])


def test_a_model_whose_layers_are_shared_out_is_trained_one_after_another(
    chat_model: ChatModel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("narrows.training.together.is_sharded", lambda model: True)
    monkeypatch.setattr("narrows.training.together.BankWindow", None)
    for one, run in zip(MANY, train_together(chat_model, MANY), strict=True):
        assert_same_run(run, alone(chat_model, one))


def test_the_rows_of_a_step_are_named(chat_model: ChatModel):
    rows: list[Conversation] = ROWS
    training = Training.of(chat_model, rows, RECIPE, anchor=ANCHOR)
    window = BankWindow(chat_model, [training])
    first = [rows[place].source for place in training.order.training_rows(0)]
    assert window.sources(0, 0) == ", ".join(first)
