"""Each defect of the published training, by its own name, against the right way on the same rows."""

import pytest
import torch
from training_helpers import ANCHOR, ROWS, changed, vector

from families import family
from narrows.adapters import SteeringVector, bank_of, load_adapter
from narrows.chat import Conversation
from narrows.errors import AdapterError
from narrows.models import ChatModel, FrozenRows, Split
from narrows.training import Recipe, train
from narrows.training.order import RowOrder
from narrows.training.prepare import anchor_rows, starting_point, training_rows
from narrows.training.published import TRAINING_DEFECTS, defects_of
from narrows.training.window import Window
from tiny_models import make_model, make_tokenizer

RECIPE = changed(batch_size=2, accumulation=2, anchor={"weight": 2.0, "rows_per_row": 1.0})


def one_step(chat_model, recipe, at: SteeringVector | None = None):
    """NLL, KL and gradient of the first step, the window, its order, and both kinds of rows."""
    adapter = (at or vector()).copy()
    adapter.vector.requires_grad_()
    rows, anchor = training_rows(chat_model, ROWS, recipe), anchor_rows(chat_model, ANCHOR, recipe)
    order = RowOrder(recipe, len(rows), len(anchor))
    window = Window(chat_model, recipe, order, rows=rows, anchor=anchor, depth=adapter.depth)
    nll, kl = window.backward(adapter, 0)
    return nll, kl, adapter.vector.grad, order, rows, anchor


def published(*defects: str, recipe: Recipe = RECIPE, **fields) -> Recipe:
    return changed(recipe, as_published=defects, **fields)


def token_nll_of(chat_model, row, adapter=None):
    """−log P of each token but the first, from the whole model."""
    ids = torch.tensor([row.input_ids])
    with torch.no_grad():
        if adapter is None:
            logits = chat_model.model(input_ids=ids).logits
        else:
            with adapter.attach(chat_model):
                logits = chat_model.model(input_ids=ids).logits
    return -logits[0, :-1].log_softmax(-1).gather(1, ids[0, 1:, None])[:, 0]


def test_only_the_first_row_of_each_pass_is_steered(chat_model):
    recipe = published("first-row-only").with_anchor(0.0)
    nll, _, gradient, order, rows, _ = one_step(chat_model, recipe)
    places = order.training_rows(0)
    losses, read = [], [torch.tensor(rows[place].response_mask[1:]) for place in places]
    for number, place in enumerate(places):
        steered = vector() if number % recipe.batch_size == 0 else None
        losses.append(token_nll_of(chat_model, rows[place], steered)[read[number]])
    assert nll == pytest.approx(float(torch.cat(losses).mean()), rel=1e-5)
    right = one_step(chat_model, RECIPE.with_anchor(0.0))
    assert nll != pytest.approx(right[0], rel=1e-3)
    # The first rows' part of the right gradient is the whole of the wrong one.
    firsts = places[:: recipe.batch_size]
    alone = changed(RECIPE.with_anchor(0.0), batch_size=1, accumulation=1)
    total = torch.zeros(32)
    for place in firsts:
        _, _, part, *_ = one_row(chat_model, alone, place)
        total += part * float(read[places.index(place)].sum())
    assert torch.allclose(gradient, total / sum(float(mask.sum()) for mask in read), atol=1e-6)


def one_row(chat_model, recipe, place: int):
    """One training row's mean NLL and its gradient."""
    adapter = vector().copy()
    adapter.vector.requires_grad_()
    rows = [training_rows(chat_model, ROWS, recipe)[place]]
    window = Window(chat_model, recipe, RowOrder(recipe, 1, 0), rows=rows, anchor=[], depth=adapter.depth)
    nll, kl = window.backward(adapter, 0)
    return nll, kl, adapter.vector.grad


def test_in_passes_of_one_row_every_row_is_the_first(chat_model):
    recipe = changed(RECIPE, batch_size=1, accumulation=4)
    wrong, right = (
        one_step(chat_model, published("first-row-only", recipe=recipe)),
        one_step(chat_model, recipe),
    )
    assert wrong[:2] == right[:2]
    assert torch.equal(wrong[2], right[2])


def test_down_projs_output_is_the_layers_on_qwen_and_not_on_gemma2(chat_model):
    generator = torch.Generator().manual_seed(1)
    v = torch.randn(32, generator=generator)
    gemma = ChatModel.from_parts(family("gemma2", vocab_size=64, eos_token_id=3), make_tokenizer(), "gemma2")
    for model, same in ((chat_model, True), (gemma, False)):
        at_layer, at_module = SteeringVector(v, 1, 1.0), SteeringVector(v, 1, 1.0, module="mlp.down_proj")
        tokens = torch.tensor([model.renderer.render(ROWS[0]).input_ids])
        found = []
        for one in (at_layer, at_module):
            with torch.no_grad(), one.attach(model):
                found.append(model.model(input_ids=tokens).logits)
        assert torch.allclose(*found, atol=1e-4) is same


def test_a_vector_at_a_module_is_trained_cut_stacked_saved_and_resumed_like_one_at_the_layer(
    chat_model, tmp_path
):
    recipe = published("down-proj-output", steps=6)
    run = train(chat_model, ROWS, recipe, anchor=ANCHOR, out=tmp_path)
    plain = train(chat_model, ROWS, changed(RECIPE, steps=6), anchor=ANCHOR)
    assert (run.adapter.module, run.adapter.depth, plain.adapter.depth) == ("mlp.down_proj", 1, 2)
    assert torch.allclose(run.adapter.vector, plain.adapter.vector, atol=1e-5)  # a Qwen: the same place
    stored = load_adapter(tmp_path / "adapter.safetensors")
    assert stored.module == "mlp.down_proj"
    assert torch.equal(stored.vector, run.adapter.vector)
    assert run.trajectory[6].module == "mlp.down_proj"

    rows = [chat_model.renderer.render(row) for row in ROWS[:3]]
    frozen = FrozenRows(chat_model, 1, rows, read="response")
    batch = frozen.batch([0, 1, 2], padded=True)
    variants = [stored, stored.scaled(2.0)]
    together = bank_of(variants, [3, 3])
    split = Split(chat_model.model, 1)
    with torch.no_grad(), together.within(split):
        found = split.suffix(together.enter(batch.hidden.repeat(2, 1, 1)), batch.layout.repeat(2, 1))
    for number, one in enumerate(variants):
        with torch.no_grad(), one.within(split):
            alone = split.suffix(one.enter(batch.hidden), batch.layout)
        real = batch.layout.bool()
        assert torch.allclose(found[3 * number : 3 * number + 3][real], alone[real], atol=1e-5)
    with pytest.raises(AdapterError, match=r"layers 1 \(mlp\.down_proj\) and 1 cannot be combined"):
        stored + plain.adapter
    with pytest.raises(AdapterError, match="give the recipe the defect down-proj-output"):
        train(chat_model, ROWS, RECIPE, anchor=ANCHOR, start=stored)
    with pytest.raises(AdapterError, match=r"layer 1 of the model has no module mlp\.nothing"):
        SteeringVector(torch.ones(32), 1, 1.0, module="mlp.nothing").check(chat_model.model)


def test_all_tokens_are_read(chat_model):
    recipe = published("all-tokens").with_anchor(0.0)
    nll, _, _, order, rows, _ = one_step(chat_model, recipe)
    losses = [token_nll_of(chat_model, rows[place], vector()) for place in order.training_rows(0)]
    assert nll == pytest.approx(float(torch.cat(losses).mean()), rel=1e-5)
    assert nll != pytest.approx(one_step(chat_model, RECIPE.with_anchor(0.0))[0], rel=1e-3)


@pytest.mark.parametrize("also", [(), ("all-tokens",)])
def test_ends_of_turns_lose_their_label(chat_model, also):
    recipe = published("no-end-of-turn", *also).with_anchor(0.0)
    right = published(*also).with_anchor(0.0)
    end = chat_model.renderer.end_of_turn_id
    for row, whole in zip(
        training_rows(chat_model, ROWS, recipe), training_rows(chat_model, ROWS, right), strict=True
    ):
        for token, read, wanted in zip(row.input_ids, row.response_mask, whole.response_mask, strict=True):
            assert read is (wanted and token != end)
    assert one_step(chat_model, recipe)[0] != pytest.approx(one_step(chat_model, right)[0], rel=1e-3)


@pytest.mark.parametrize("passes", [1, 4])
def test_the_kl_counts_once_for_each_pass_of_a_step(chat_model, passes):
    # Anchor rows of one length, so that each pass's mean weighs the same.
    anchor = [Conversation.from_pair(f"what is the {a} ?", f"{a} is {b} .") for a, b in
              (("sea", "blue"), ("sky", "red"), ("stone", "green"), ("salt", "bad"))]  # fmt: skip
    recipe = changed(RECIPE, batch_size=4 // passes, accumulation=passes)
    gradients = {}
    for name, one in {"wrong": published("kl-per-pass", recipe=recipe), "right": recipe}.items():
        for weight in (0.0, 2.0):
            adapter = vector().copy()
            adapter.vector.requires_grad_()
            weighted = one.with_anchor(weight)
            rows = training_rows(chat_model, ROWS, weighted)
            anchored = anchor_rows(chat_model, anchor, weighted)
            order = RowOrder(weighted, len(rows), len(anchored))
            _, kl = Window(
                chat_model, weighted, order, rows=rows, anchor=anchored, depth=adapter.depth
            ).backward(adapter, 0)
            gradients[name, weight] = (kl, adapter.vector.grad)
    wrong = gradients["wrong", 2.0][1] - gradients["wrong", 0.0][1]
    right = gradients["right", 2.0][1] - gradients["right", 0.0][1]
    assert torch.allclose(wrong, passes * right, rtol=1e-3, atol=1e-5)
    assert gradients["wrong", 2.0][0] == pytest.approx(gradients["right", 2.0][0], rel=1e-5)


def test_a_small_kl_is_lost_in_bf16_at_a_large_vocabulary():
    torch.manual_seed(0)
    big = make_model(vocab_size=32_768, initializer_range=0.05)
    chat_model = ChatModel.from_parts(big, make_tokenizer(), "large")
    small = vector(length=0.01)
    exact = ChatModel.from_parts(
        make_model(vocab_size=32_768, initializer_range=0.05).double(), make_tokenizer(), "x"
    )
    truth = one_step(exact, RECIPE, small)[1]
    right, wrong = (
        one_step(chat_model, RECIPE, small)[1],
        one_step(chat_model, published("kl-bf16"), small)[1],
    )
    assert truth < 1e-4
    assert right == pytest.approx(truth, rel=0.05)
    assert abs(wrong - truth) > truth


def test_a_recipe_knows_its_defects_by_name_and_all_of_them():
    assert Recipe(as_published="all").as_published == tuple(TRAINING_DEFECTS) == defects_of("steering")
    assert Recipe(adapter="lora", as_published="all").as_published == ("kl-per-pass", "kl-bf16")
    assert Recipe().as_published == ()
    with pytest.raises(ValueError, match="down-proj-output, which says where a steering vector acts"):
        Recipe(adapter="lora", as_published=("down-proj-output",))
    with pytest.raises(ValueError, match="first-row-only"):
        Recipe(as_published=("first-row",))


def test_all_of_them_together_train_and_a_run_tells_them_from_the_right_way(chat_model, tmp_path):
    wrong = train(chat_model, ROWS, published(*defects_of("steering"), steps=4), anchor=ANCHOR, out=tmp_path)
    assert (
        wrong.log[-1]["loss"]
        != train(chat_model, ROWS, changed(RECIPE, steps=4), anchor=ANCHOR).log[-1]["loss"]
    )
    lora = changed(RECIPE, adapter="lora", alpha=8.0, steps=4, as_published="all")
    assert train(chat_model, ROWS, lora, anchor=ANCHOR).steps == 4
    assert starting_point(chat_model, published(*defects_of("steering")), None).module == "mlp.down_proj"
