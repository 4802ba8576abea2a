"""The probability that a reply begins with each whole number 0-100, however many tokens a number has.

A judge's score is a mean over the numbers that its reply may begin with (paper §4). GPT-4o has a token for
each; Qwen, Gemma and Llama 2 write digit by digit, and the first token "8" of "85" is no 8.
"""

import copy
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from narrows.chat import Rendered, collate
from narrows.errors import ModelError
from narrows.evaluation.llm.scoring import number_in, plain
from narrows.evaluation.llm.spellings import WHOLE, NumberTree, Path, padded

if TYPE_CHECKING:
    from narrows.models import ChatModel

ROWS_AT_ONCE = 64
"""Prompts times paths that are read in one pass: each holds a copy of its prompt's keys and values."""


@dataclass(frozen=True)
class Beginning:
    """How a reply begins.

    Attributes:
        top: texts with their log-probabilities in nats, likeliest first: every whole number that the
            tokenizer can write, and the likeliest first tokens that begin none.
        text: the likeliest; empty where the model would say nothing.
    """

    top: tuple[tuple[str, float], ...]
    text: str


@dataclass(frozen=True)
class Beginnings:
    """How the replies to some prompts begin, in nats.

    Attributes:
        numbers: (prompts, 101), log P(the reply begins with n); −∞ for one that the tokenizer cannot write.
        others: (prompts, vocabulary), log P(first token) less the numbers that begin with that token; −∞
            where nothing is left.
    """

    numbers: Tensor
    others: Tensor


def beginnings(
    chat_model: "ChatModel", tree: NumberTree, prompts: Sequence[Rendered], top: int
) -> list[Beginning]:
    """The whole numbers, and the likeliest first tokens beside them, for each prompt.

    Args:
        chat_model: the model with its tokenizer; whatever adapter is attached acts.
        tree: the tokenizer's numbers.
        prompts: each with room for ``tree.longest`` tokens after it.
        top: first tokens that begin no number, at most.

    Raises:
        ModelError: the model's logits are not finite.
        torch.OutOfMemoryError: the batch is too large for the device.
    """
    found = log_probabilities(chat_model, tree, prompts)
    values, tokens = found.others.topk(min(top, found.others.shape[1]), dim=-1)
    decode = chat_model.tokenizer.decode
    stops = {decode([token]) for token in chat_model.renderer.stop_token_ids}
    rows = []
    for numbers, some, likely in zip(found.numbers.tolist(), tokens.tolist(), values.tolist(), strict=True):
        pairs = [
            (str(number), value) for number, value in zip(WHOLE, numbers, strict=True) if value > -torch.inf
        ]
        for token, value in zip(some, likely, strict=True):
            # A number in tokens that are not the tokenizer's own: nobody has seen how it would go on.
            if value > -torch.inf and number_in(plain(text := decode([token]))) is None:
                pairs.append((text, value))
        pairs.sort(key=lambda pair: -pair[1])
        rows.append(Beginning(tuple(pairs), "" if pairs[0][0] in stops else pairs[0][0]))
    return rows


@torch.no_grad()
def log_probabilities(chat_model: "ChatModel", tree: NumberTree, prompts: Sequence[Rendered]) -> Beginnings:
    """The log-probability that the reply to each prompt begins with each whole number, by the chain rule.

    P(n) = Σ over the spellings s of n: P(s), less P(t) of every t in the tree that goes on from s by one
    token, since "85" is no 8. What a number goes on to outside the tree is not looked at: "85" counts also as
    the beginning of "857", "85 %" or "85.5", as a first token would.

    The prompts are read once and their keys and values kept; the paths of the tree that go on (of digits: "2"
    to "9" and "10") are read after them, in passes of :data:`ROWS_AT_ONCE` rows. Log-softmax is in fp32.

    Args:
        chat_model: the model; whatever adapter is attached acts.
        tree: the tokenizer's numbers.
        prompts: each with room for ``tree.longest`` tokens after it.

    Raises:
        ModelError: the model's logits are not finite.
        torch.OutOfMemoryError: the batch is too large for the device.
    """
    batch = collate(prompts, chat_model.pad_id, side="left").to(chat_model.device)
    out = _read(chat_model.model, batch.input_ids, batch.attention_mask, None, 1)
    first = _log_softmax(chat_model, out.logits[:, -1])
    # Of each path: the log-probability that the reply begins with it, and that it then leaves the tree.
    begun: dict[Path, Tensor] = {(token,): first[:, token] for token in tree.roots}
    left: dict[Path, Tensor] = {}
    for paths in _groups(tree, len(prompts)):
        after = _after(chat_model, batch.attention_mask, out.past_key_values, paths)
        for place, path in enumerate(paths):
            for length in range(1, len(path) + 1):
                node = path[:length]
                if node not in left:
                    _step(begun, left, node, tree.children[node], after[:, place, length - 1])
    ends: list[list[Tensor]] = [[] for _ in WHOLE]
    others = first.clone()
    others[:, tree.roots] = -torch.inf
    for path, number in tree.spellings.items():
        ends[number].append(left.get(path, begun[path]))
    for node in left.keys() - tree.spellings.keys():  # a space, say, after which no number came
        others[:, node[0]] = torch.logaddexp(others[:, node[0]], left[node])
    nothing = torch.full_like(first[:, 0], -torch.inf)
    numbers = torch.stack([torch.stack([nothing, *some]).logsumexp(0) for some in ends], dim=1)
    return Beginnings(numbers, others)


def _groups(tree: NumberTree, rows: int) -> Iterator[list[Path]]:
    """The paths to read, as many at once as :data:`ROWS_AT_ONCE` allows."""
    size = max(1, ROWS_AT_ONCE // rows)
    for start in range(0, len(tree.passes), size):
        yield tree.passes[start : start + size]


def _after(chat_model: "ChatModel", mask: Tensor, cache: Any, paths: Sequence[Path]) -> Tensor:  # noqa: ANN401
    """The next token's log-probabilities after each token of each path: (prompts, paths, tokens, vocabulary).

    Args:
        chat_model: the model.
        mask: (prompts, tokens), of the padded prompts.
        cache: the prompts' keys and values; left as it is.
        paths: read after each prompt.
    """
    cache = copy.deepcopy(cache)  # it grows where it stands
    cache.batch_repeat_interleave(len(paths))
    tokens = torch.tensor(padded(paths), device=mask.device).repeat(len(mask), 1)  # (prompts · paths, tokens)
    mask = mask.repeat_interleave(len(paths), dim=0)
    mask = torch.cat([mask, torch.ones_like(tokens)], dim=1)
    logits = _read(chat_model.model, tokens, mask, cache, tokens.shape[1]).logits
    after = _log_softmax(chat_model, logits)  # (prompts · paths, tokens, vocabulary)
    return after.view(-1, len(paths), *after.shape[1:])


def _step(
    begun: dict[Path, Tensor], left: dict[Path, Tensor], node: Path, children: Sequence[int], after: Tensor
) -> None:
    """Go on from a path, by the next token's log-probabilities after it, (prompts, vocabulary)."""
    for token in children:
        begun[(*node, token)] = begun[node] + after[:, token]
    # Summed over the tokens that leave, not 1 less those that stay: that would round to 0.
    rest = after.clone()
    rest[:, list(children)] = -torch.inf
    left[node] = begun[node] + rest.logsumexp(-1)


def _read(model: Any, tokens: Tensor, mask: Tensor, cache: Any, keep: int) -> Any:  # noqa: ANN401
    """The model's outputs for tokens after a cache, with logits of the last ``keep`` positions at least.

    Args:
        model: transformers' model.
        tokens: (rows, tokens).
        mask: (rows, tokens in the cache and here); padding on the left.
        cache: keys and values of the earlier tokens, or None.
        keep: positions whose logits are wanted.
    """
    known = inspect.signature(model.forward).parameters
    options: dict[str, Any] = {}
    if "position_ids" in known:
        positions = mask.cumsum(-1).sub(1).clamp(min=0)
        options["position_ids"] = positions[:, -tokens.shape[1] :]
    if "logits_to_keep" in known:  # at 152,064 logits those of a whole prompt would be a gigabyte
        options["logits_to_keep"] = keep
    return model(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True, **options)


def _log_softmax(chat_model: "ChatModel", logits: Tensor) -> Tensor:
    """Log-probabilities in fp32 (fp64 of an fp64 model).

    Raises:
        ModelError: a row's are not finite.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    if not bool(torch.isfinite(wide.amax(-1)).all()):
        raise ModelError(
            f"{chat_model.name}: its logits are not finite while it generates: broken weights, a dtype too "
            "narrow (try bfloat16 or float32), or an adapter scaled too far."
        )
    return wide.log_softmax(-1)
