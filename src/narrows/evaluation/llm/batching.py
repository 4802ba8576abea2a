"""Requests that arrive one by one, answered in batches by one thread at a time."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import anyio
import anyio.to_thread

Request = TypeVar("Request")
Reply = TypeVar("Reply")

LINGER = 0.02
"""Seconds without a new request after which a batch begins: those of one moment come together."""


@dataclass(eq=False)
class _Waiting(Generic[Request, Reply]):
    """A request until it has its reply, or the error that it caused."""

    request: Request
    kind: Hashable
    woken: anyio.Event = field(default_factory=anyio.Event)
    leads: bool = False
    replies: list[Reply] = field(default_factory=list)
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return bool(self.replies) or self.error is not None


class Batcher(Generic[Request, Reply]):
    """Answers concurrent requests in batches: what arrives while a batch runs is the next batch.

    There is no thread or task in the background that outlives its requests: of the waiting requests one
    leads, runs the batch that it is in, and hands the lead on.

    Args:
        answer: takes some requests of one kind and returns a reply for each; runs in a worker thread, never
            twice at once. Where it fails, the batch is run again in halves, so that an error reaches only the
            requests that cause it.
        size: requests in a batch, at most.
    """

    def __init__(self, answer: Callable[[Sequence[Request]], Sequence[Reply]], size: int) -> None:
        self._answer, self._size = answer, size
        self._waiting: list[_Waiting[Request, Reply]] = []
        self._led = False

    async def reply(self, request: Request, kind: Hashable) -> Reply:
        """The reply to one request.

        Args:
            request: what is asked.
            kind: requests share a batch only if theirs is equal.

        Raises:
            Exception: whatever answering this request raised.
        """
        one: _Waiting[Request, Reply] = _Waiting(request, kind)
        self._waiting.append(one)
        try:
            if self._led:
                await one.woken.wait()
            else:
                self._led = one.leads = True
            if not one.done:
                await self._lead(kind)
        finally:
            if one in self._waiting:
                self._waiting.remove(one)
            if one.leads:
                self._hand_on()
        if one.error is not None:
            raise one.error
        return one.replies[0]

    async def reply_all(self, requests: Sequence[Request], kind: Hashable) -> list[Reply]:
        """The replies to several requests of one kind, in order.

        Raises:
            Exception: whatever answering the first of those that failed raised.
        """
        found: dict[int, Reply] = {}
        failed: dict[int, Exception] = {}

        async def one(place: int) -> None:
            try:
                found[place] = await self.reply(requests[place], kind)
            except Exception as error:  # noqa: BLE001  (raised below, and not in a group)
                failed[place] = error

        async with anyio.create_task_group() as group:
            for place in range(len(requests)):
                group.start_soon(one, place)
        if failed:
            raise failed[min(failed)]
        return [found[place] for place in range(len(requests))]

    async def _lead(self, kind: Hashable) -> None:
        """Run one batch of a kind, the oldest requests first, and wake those that it answered."""
        arrived = 0
        while arrived < len(self._waiting) < self._size:
            arrived = len(self._waiting)
            await anyio.sleep(LINGER)
        batch = [one for one in self._waiting if one.kind == kind][: self._size]
        try:
            await anyio.to_thread.run_sync(self._run, batch)
        finally:
            for one in batch:
                if one.done and one in self._waiting:
                    self._waiting.remove(one)
                    one.woken.set()

    def _run(self, batch: Sequence[_Waiting[Request, Reply]]) -> None:
        """Answer a batch; one that fails is run again in halves, down to the request at fault."""
        try:
            replies = self._answer([one.request for one in batch])
        except Exception as error:  # noqa: BLE001  (whatever it is, it belongs to whoever caused it)
            if len(batch) == 1:
                batch[0].error = error
                return
            middle = len(batch) // 2
            self._run(batch[:middle])
            self._run(batch[middle:])
        else:
            for one, reply in zip(batch, replies, strict=True):
                one.replies.append(reply)

    def _hand_on(self) -> None:
        """Let the oldest waiting request lead, if there is one."""
        self._led = bool(self._waiting)
        if self._waiting:
            self._waiting[0].leads = True
            self._waiting[0].woken.set()
