import pytest
from judge_models import TOKENIZERS

from narrows.evaluation.llm.spellings import NumberTree, padded
from tiny_models import make_tokenizer


@pytest.fixture(params=TOKENIZERS)
def tokenizer(request):
    return TOKENIZERS[request.param]()


def paths(name):
    """The paths of a tokenizer's tree, in its own words."""
    tokenizer = TOKENIZERS[name]()
    tree = NumberTree.of(tokenizer)
    found = {}
    for path, number in tree.spellings.items():
        found.setdefault(number, set()).add(tuple(tokenizer.convert_ids_to_tokens(path)))
    return found, [tuple(tokenizer.convert_ids_to_tokens(path)) for path in tree.passes]


def test_every_number_is_spelt_and_reads_back_as_itself(tokenizer):
    tree = NumberTree.of(tokenizer)
    assert set(tree.spellings.values()) == set(range(101))
    assert all(tokenizer.decode(path).strip() == str(number) for path, number in tree.spellings.items())
    assert tuple(tokenizer("85", add_special_tokens=False)["input_ids"]) in tree.spellings


def test_digits_are_read_after_each_digit_that_may_go_on():
    found, passes = paths("bytes")
    assert found[85] == {("8", "5"), ("Ġ", "8", "5")}
    assert found[100] == {("1", "0", "0"), ("Ġ", "1", "0", "0")}
    after = {("1", "0"), *((digit,) for digit in "23456789")}
    assert set(passes) == after | {("Ġ", *path) for path in after}


def test_whole_numbers_need_no_second_pass():
    found, passes = paths("whole numbers")
    assert found[85] == {("85",)}
    assert passes == []


def test_pairs_and_digits_stand_in_one_tree():
    found, passes = paths("bytes and some pairs")
    assert (found[85], found[86]) == ({("85",), ("Ġ", "85")}, {("8", "6"), ("Ġ", "8", "6")})
    assert found[100] == {("10", "0"), ("Ġ", "10", "0")}
    assert ("10",) in passes


def test_a_number_is_spelt_with_and_without_the_mark_for_space():
    found, _ = paths("a mark for space")
    assert found[85] >= {("▁", "8", "5"), ("8", "5")}


def test_a_tokenizer_that_cannot_write_numbers_has_none():
    tree = NumberTree.of(make_tokenizer())
    assert (tree.spellings, tree.roots, tree.passes, tree.longest) == ({}, [], [], 0)


def test_paths_are_padded_after_their_end():
    assert padded([(1,), (2, 3, 4)]) == [(1, 1, 1), (2, 3, 4)]
