"""How the next token of an answer is picked: by the answer's own random numbers, whoever shares its batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from narrows.errors import ConfigError, ModelError
from narrows.files import digest

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LOGITS_AT_ONCE = 2**22
"""How many logits are turned into cumulative probabilities in one go; in fp64 they take 32 MiB."""

TOKENS_OF_A_CHARACTER = 4
"""A byte-level tokenizer may need this many tokens for one character."""


@dataclass(frozen=True)
class Decoding:
    """How answers are decoded; rows of one batch share it.

    Attributes:
        max_new_tokens: the longest answer.
        temperature: divides the logits; 0 takes the likeliest token each time.
        top_p: draw only from the likeliest tokens that together have this probability; None draws from all.
        top_k: draw only from this many likeliest tokens; None draws from all.
        stop_strings: an answer ends before the first of them.
        top_logprobs: keep the log-probabilities of the picked tokens and of this many likeliest ones at each
            place, from the model's own logits (before temperature, top-p and top-k); None keeps none.

    Raises:
        ConfigError: a value is out of its range.
    """

    max_new_tokens: int = 600
    temperature: float = 1.0
    top_p: float | None = None
    top_k: int | None = None
    stop_strings: tuple[str, ...] = ()
    top_logprobs: int | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens is {self.max_new_tokens}; it must be at least 1.")
        if not 0 <= self.temperature < float("inf"):
            raise ConfigError(
                f"temperature is {self.temperature}; it must be 0 (the likeliest token) or above."
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise ConfigError(f"top_p is {self.top_p}; it must be above 0 and at most 1.")
        if self.top_k is not None and self.top_k < 1:
            raise ConfigError(f"top_k is {self.top_k}; it must be at least 1.")
        if self.top_logprobs is not None and self.top_logprobs < 0:
            raise ConfigError(f"top_logprobs is {self.top_logprobs}; it must not be negative.")
        if "" in self.stop_strings:
            raise ConfigError("stop_strings has an empty string, at which every answer would end.")


def uniforms(keys: Sequence[object], count: int) -> Tensor:
    """Each answer's own random numbers, (answers, count), fp64 in [0, 1).

    Args:
        keys: for each answer whatever decides its draws; anything JSON can hold.
        count: numbers for each answer; a longer row begins with a shorter one.
    """
    rows = [np.random.default_rng(int(digest(key), 16)).random(count) for key in keys]
    return torch.from_numpy(np.stack(rows))


def inverse_cdf(probabilities: Tensor, draws: Tensor) -> Tensor:
    """For each row the first token whose cumulative probability exceeds the row's draw.

    Sums are taken in fp64: in fp32 the rounding of 150,000 of them is larger than most tokens' probability.

    Args:
        probabilities: (rows, vocabulary), not negative; they need not add up to exactly 1.
        draws: (rows,), fp64 in [0, 1).

    Returns:
        (rows,), int64; never a token of probability 0.
    """
    cumulative = probabilities.cumsum(-1, dtype=torch.float64)
    total = cumulative[:, -1]
    # A product that rounds up to the total would find no token beyond it.
    target = torch.minimum(draws * total, torch.nextafter(total, torch.zeros_like(total)))
    found = torch.searchsorted(cumulative, target[:, None], right=True)[:, 0]
    return found.clamp_(max=probabilities.shape[1] - 1)  # past the end only where the row has a NaN


class TokenPicker:
    """A logits processor of transformers that leaves greedy decoding no choice but the token drawn here.

    transformers' own sampling draws the rows of a batch from one random state, so that an answer depends on
    its neighbours; here row i at step t is drawn by ``draws[i, t]`` and by nothing else.

    Attributes:
        logprobs: for each step the picked tokens and their log-probabilities, both (rows,), the likeliest
            tokens and theirs, both (rows, k); empty unless the decoding asks for them.

    Args:
        decoding: temperature, top-p, top-k, log-probabilities.
        prompt: tokens of the (padded) prompts.
        draws: (rows, steps), fp64 in [0, 1); None takes the likeliest token.
    """

    def __init__(self, decoding: Decoding, prompt: int, draws: Tensor | None) -> None:
        self.logprobs: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []
        self._decoding, self._prompt, self._draws = decoding, prompt, draws
        self._broken: Tensor | None = None

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Raise the logit of each row's token, in ``scores`` (rows, vocabulary), above all others."""
        step = input_ids.shape[1] - self._prompt
        top = scores.amax(-1)  # NaN if one is
        broken = ~torch.isfinite(top).all()
        self._broken = broken if self._broken is None else self._broken | broken
        picked = scores.argmax(-1) if self._draws is None else self._drawn(scores, self._draws, step)
        if self._decoding.top_logprobs is not None:
            self.logprobs.append(self._likeliest(scores, picked, self._decoding.top_logprobs))
        return scores.scatter_(1, picked[:, None], float("inf"))

    def check(self, name: str) -> None:
        """See that tokens were picked from numbers; asked once at the end, not to wait for each step.

        Raises:
            ModelError: the model gave logits that are not finite.
        """
        if self._broken is not None and bool(self._broken):
            raise ModelError(
                f"{name}: its logits are not finite while it generates: broken weights, a dtype too narrow "
                "(try bfloat16 or float32), or an adapter scaled too far."
            )

    def _drawn(self, scores: Tensor, draws: Tensor, step: int) -> Tensor:
        """One token a row, drawn from the model's distribution at the temperature."""
        # On a GPU transformers may run a step beyond the last, before it sees that all rows are done.
        now = draws[:, min(step, draws.shape[1] - 1)].to(scores.device)
        rows = max(1, LOGITS_AT_ONCE // scores.shape[1])
        return torch.cat(
            [
                inverse_cdf(self._narrowed(part / self._decoding.temperature).softmax(-1), some)
                for part, some in zip(torch.split(scores, rows), torch.split(now, rows), strict=True)
            ]
        )

    def _narrowed(self, scores: Tensor) -> Tensor:
        """Logits with −∞ where top-k and top-p leave nothing."""
        from transformers import TopKLogitsWarper, TopPLogitsWarper

        if self._decoding.top_k is not None:
            scores = TopKLogitsWarper(self._decoding.top_k)(None, scores)
        if self._decoding.top_p is not None and self._decoding.top_p < 1:
            scores = TopPLogitsWarper(self._decoding.top_p)(None, scores)
        return scores

    @staticmethod
    def _likeliest(scores: Tensor, picked: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The picked and the likeliest tokens with their log-probabilities, on the CPU."""
        normaliser = scores.logsumexp(-1, keepdim=True)
        values, tokens = scores.topk(min(count, scores.shape[1]), dim=-1)
        own = scores.gather(1, picked[:, None]) - normaliser
        return picked.cpu(), own[:, 0].cpu(), tokens.cpu(), (values - normaliser).cpu()


class StopStrings:
    """A stopping criterion of transformers: a row is done once its answer's text holds a stop string.

    Args:
        tokenizer: decodes the answers.
        strings: the stop strings.
        prompt: tokens of the (padded) prompts.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", strings: Sequence[str], prompt: int) -> None:
        self._tokenizer, self._strings, self._prompt = tokenizer, strings, prompt
        self._window = TOKENS_OF_A_CHARACTER * max(map(len, strings)) + 1

    def __call__(self, input_ids: Tensor, scores: object, **_: object) -> Tensor:
        """Which rows are done, (rows,), bool; only the last tokens are looked at, since the rest was."""
        start = max(self._prompt, input_ids.shape[1] - self._window)
        texts = self._tokenizer.batch_decode(input_ids[:, start:], skip_special_tokens=True)
        done = [any(string in text for string in self._strings) for text in texts]
        return torch.tensor(done, device=input_ids.device)
