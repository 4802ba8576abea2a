"""Asking a judge: from memory where it has replied before, and otherwise until it replies."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from narrows.errors import ConfigError, JudgeError, NarrowsError
from narrows.evaluation.llm.config import JudgeConfig, redacted
from narrows.evaluation.llm.reaching import cause_of, judge_model, readable
from narrows.evaluation.llm.replies import Replies
from narrows.evaluation.llm.scoring import TOP, Reply, plain
from narrows.files import digest
from narrows.strict import one_line

if TYPE_CHECKING:
    import anyio
    from inspect_ai.model import Model, ModelOutput

log = logging.getLogger(__name__)

PROBE = "Reply with the number 87 and nothing else."
_PROBED = "87"
_WORDS_OF_A_REPLY = 16
"""Tokens of a reply without log-probabilities: a number or REFUSAL, in any tokenizer."""
_TRIES = 6
"""How often a reply that cannot be read is asked for again; what the provider calls transient, Inspect asks
for again itself."""
_FIRST_TRIES, _FIRST_RETRIES = 3, 2
"""The same for the first message, and what Inspect may add: a mistyped address should be known in a minute,
and not after Inspect's patience with a server that worked."""
_FIRST_PAUSE_S = 0.25
_HOPELESS = (400, 401, 403, 404, 429)
"""Statuses after which no other request would fare better; a 429 comes this far when a quota is used up."""


class Unanswered(Exception):  # noqa: N818  (it says what happened to one message)
    """The judge gave no readable reply to one message, however often it was asked."""


@dataclass(frozen=True)
class Abilities:
    """What a judge can do, found out by one question.

    Attributes:
        logprobs: it gives log-probabilities.
        whole_numbers: it gives those of whole numbers, so that the first token is the verdict. Qwen and
            Gemma, for example, write digit by digit; where they run in this process, narrows adds up the
            digits' log-probabilities.
    """

    logprobs: bool
    whole_numbers: bool

    @property
    def weighted(self) -> bool:
        """Whether scores can be the weighted mean over first tokens."""
        return self.logprobs and self.whole_numbers


class Budget:
    """How often judges may be asked, and how often they were.

    A request that failed on its way, and that the provider's client sent again by itself, counts once.

    Args:
        most: None for no limit.
    """

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.sent = 0

    def spend(self) -> None:
        """Count one call.

        Raises:
            ConfigError: it would be one too many.
        """
        if self.most is not None and self.sent >= self.most:
            raise ConfigError(
                f"The judge was asked {self.sent} times, as often as --max-judge-calls allows. What it "
                "replied is kept: raise the limit and run the same command again."
            )
        self.sent += 1


class Asker:
    """Asks one judge; used within one event loop.

    Args:
        config: the judge.
        replies: where its replies are kept.
        budget: counts the requests.
        advance: called after every reply, kept or new.
    """

    def __init__(
        self,
        config: JudgeConfig,
        replies: Replies,
        budget: Budget,
        advance: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self.abilities: Abilities | None = None
        self.fatal: NarrowsError | None = None
        self._identity = config.identity()
        self._replies = replies
        self._budget = budget
        self._advance = advance
        self._model: Model | None = None
        self._locks: dict[str, anyio.Lock] = {}

    def key(self, prompt: str) -> str:
        """Under which a reply is kept: the judge and the whole message."""
        return reply_key(self._identity, prompt)

    async def ask(self, prompt: str) -> Reply:
        """The judge's reply to a message; the same message is never sent twice.

        Raises:
            Unanswered: it gave no readable reply.
            NarrowsError: it cannot be asked at all, or no further request may be sent.
        """
        key = self.key(prompt)
        if (known := self._replies.find(key)) is None:
            async with self._lock(key):  # two equal messages at once are one request
                if (known := self._replies.find(key)) is None:
                    abilities = await self.probe()
                    known = self._replies.keep(key, await self._request(prompt, abilities))
        self._advance()
        return known

    async def probe(self) -> Abilities:
        """What the judge can do; asked once, before anything else.

        Raises:
            NarrowsError: it cannot be asked at all, or gave no readable reply even to this.
        """
        async with self._lock(PROBE):
            if self.abilities is None:
                key = self.key(PROBE)
                if (reply := self._replies.find(key)) is None:
                    reply = self._replies.keep(key, await self._introduced())
                self.abilities = Abilities(reply.top is not None, _whole(reply))
                if not self.abilities.weighted:
                    log.warning(
                        "%s %s: its scores are the numbers it writes, not weighted means.",
                        self.config.model,
                        "writes digit by digit" if self.abilities.logprobs else "gives no log-probabilities",
                    )
        return self.abilities

    def close(self) -> None:
        """Let go of the judge model: Inspect's registry keeps scorers, and so this object, for good."""
        self._model = None

    async def _introduced(self) -> Reply:
        """The reply to the probe; without one there is no sense in asking about answers, one by one."""
        try:
            reply = await self._first_request()
        except Unanswered as error:
            self.fatal = JudgeError(
                f"The judge {self.config.model} gave no readable reply to a first message ({error}). See "
                "that it runs, and that its address is right."
            )
            raise self.fatal from None
        if not reply.text.strip() and not reply.top:
            self.fatal = JudgeError(
                f"The judge {self.config.model} replied nothing to {PROBE!r}. One that thinks before it "
                "writes needs more tokens than the number: --judge-tokens."
            )
            raise self.fatal
        return reply

    async def _first_request(self) -> Reply:
        """The reply to the probe; a judge that refuses to give log-probabilities is asked without."""
        able = Abilities(logprobs=True, whole_numbers=True)
        try:
            return await self._request(PROBE, able, _FIRST_TRIES)
        except JudgeError as error:
            if "400" not in str(error) or "logprob" not in str(error).lower():
                raise
            self.fatal = None
            return await self._request(PROBE, Abilities(logprobs=False, whole_numbers=True), _FIRST_TRIES)

    async def _request(self, prompt: str, abilities: Abilities, tries: int = _TRIES) -> Reply:
        """Send a message until a readable reply comes."""
        import anyio

        pause = _FIRST_PAUSE_S
        for attempt in range(tries):
            if self.fatal is not None:
                raise self.fatal
            try:
                self._budget.spend()
                return readable(await self._generate(prompt, abilities), weighted=abilities.weighted)
            except NarrowsError as error:
                self.fatal = self.fatal or error
                raise
            except Exception as failed:  # noqa: BLE001  (every provider has its own)
                cause, status = cause_of(failed)
                reason = one_line(redacted(f"{type(cause).__name__}: {cause}"))
                if status in _HOPELESS:
                    self.fatal = JudgeError(f"The judge {self.config.model} cannot be asked: {reason}")
                    raise self.fatal from None
                if attempt == tries - 1:
                    raise Unanswered(reason) from None
            await anyio.sleep(pause)
            pause *= 2
        raise AssertionError("unreachable")

    async def _generate(self, prompt: str, abilities: Abilities) -> "ModelOutput":
        """One request; Inspect repeats it while the provider says that the failure will pass."""
        from inspect_ai.model import GenerateConfig

        if self._model is None:
            self._model = judge_model(self.config)
        asked: dict[str, Any] = {"max_tokens": self.config.max_tokens or _WORDS_OF_A_REPLY}
        if abilities.weighted:
            asked = {"max_tokens": self.config.max_tokens or 1, "logprobs": True, "top_logprobs": TOP}
        if self.abilities is None:
            asked["max_retries"] = min(self.config.retries, _FIRST_RETRIES)
        return await self._model.generate(prompt, config=GenerateConfig(temperature=0.0, **asked))

    def _lock(self, key: str) -> "anyio.Lock":
        import anyio

        return self._locks.setdefault(key, anyio.Lock())


def reply_key(identity: str, prompt: str) -> str:
    """The key of a judge's reply to a message."""
    return digest([identity, prompt])


def _whole(reply: Reply) -> bool:
    """Whether the reply to the probe shows that numbers are whole.

    A judge too weak to say the number may begin with any token. It is not whole where the reply begins with
    its first digit, or with a token of white space before it (as Llama 2's do), unless the whole number is
    there as a token too.
    """
    if not reply.top:
        return False
    likeliest = max(reply.top, key=lambda token: token[1])[0]
    return plain(likeliest) not in ("", _PROBED[0]) or _PROBED in {plain(token) for token, _ in reply.top}
