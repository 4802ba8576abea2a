"""The gradients of many trainings in shared passes: each row is changed by its own training's adapter."""

import math
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor
from torch.nn.functional import pad

from narrows.adapters import bank_of
from narrows.chat import Rendered
from narrows.models import ChatModel, FrozenBatch, FrozenRows, Head, recomputed, token_kl, token_nll
from narrows.models.frozen import Read
from narrows.training.ready import Training
from narrows.training.window import lift_of, sources_of

PASS_TOKENS = 2048
"""Tokens of one pass, padding counted; see ``benchmarks/bank.py``. With 16,384, 14 B had no room."""


@dataclass(frozen=True)
class _Job:
    """One row of a step: whose it is, which loss it is read for, and what its tokens' losses count."""

    owner: int
    anchor: bool
    place: int
    length: int
    share: float


@dataclass(frozen=True)
class _Joined:
    """A pass's rows, of which several may be one row of the pool under different adapters.

    Attributes:
        hidden: the residual stream at the cut, (rows, tokens, hidden).
        attention_mask: (rows, tokens), 0 at padding.
        read: which of the rows · tokens states are read: first for the NLL, then for the KL; (n,).
        row_of: which row each belongs to, (n,).
        targets: the tokens that follow those of the NLL.
        reference: the chat model's final states at the distinct ones of those of the KL, (·, hidden).
        of: which of these each of the KL's has, ascending.
    """

    hidden: Tensor
    attention_mask: Tensor
    read: Tensor
    row_of: Tensor
    targets: Tensor
    reference: Tensor
    of: Tensor


class _Pool:
    """The distinct rows of all trainings behind the frozen layers, each run once.

    Args:
        chat_model: the frozen model.
        depth: the adapters' depth.
        rows: of each training.
        read: which tokens are predicted.
        reference: also keep the chat model's final states.

    Attributes:
        places: where each training's rows are among the distinct ones.
        frozen: the distinct rows.
    """

    def __init__(
        self,
        chat_model: ChatModel,
        depth: int,
        rows: Sequence[list[Rendered]],
        *,
        read: Read,
        reference: bool = False,
    ) -> None:
        places: dict[tuple[tuple[int, ...], tuple[bool, ...]], int] = {}
        distinct: list[Rendered] = []
        self.places: list[list[int]] = []
        for mine in rows:
            found = []
            for row in mine:
                key = (tuple(row.input_ids), tuple(row.response_mask))
                if key not in places:
                    places[key] = len(distinct)
                    distinct.append(row)
                found.append(places[key])
            self.places.append(found)
        self.frozen = FrozenRows(chat_model, depth, distinct, read=read, reference=reference)


def _mask(batch: FrozenBatch) -> Tensor:
    """The attention mask of a padded batch."""
    assert isinstance(batch.layout, Tensor)  # noqa: S101
    return batch.layout


class BankWindow:
    """What :class:`narrows.training.window.Window` gives to one training, for many at once.

    The sums are those of each training alone, so only rounding tells them apart; and on a CPU the rounding
    depends on nothing but which trainings there are and which of them share the step.

    Args:
        chat_model: the frozen model.
        trainings: whose adapters act at one place, and whose recipes agree in what anchor rows are read for
            and in gradient checkpointing.
        pass_tokens: tokens of one pass, padding counted (default: :data:`PASS_TOKENS`).
    """

    def __init__(
        self, chat_model: ChatModel, trainings: Sequence[Training], *, pass_tokens: int | None = None
    ) -> None:
        self._trainings = list(trainings)
        first = self._trainings[0]
        depth, recipe = first.adapter.depth, first.recipe
        self._rows = _Pool(chat_model, depth, [one.rows for one in trainings], read="response")
        self._anchor = _Pool(
            chat_model,
            depth,
            [one.anchor for one in trainings],
            read=recipe.anchor.positions,
            reference=True,
        )
        self._split = self._rows.frozen.split
        self._head = Head(chat_model.model)
        self._device, self._hidden = chat_model.device, chat_model.hidden
        self._lift = lift_of(chat_model)
        self._recomputed = recipe.gradient_checkpointing
        self._pass_tokens = pass_tokens or PASS_TOKENS

    def backward(self, members: Sequence[int], step: int) -> list[tuple[float, float | None]]:
        """Add the gradient of a step, counted from 0, to the adapters of some of the trainings.

        Args:
            members: which of the trainings take the step.
            step: the step.

        Returns:
            For each of them the mean NLL in nats per response token, and the mean KL in nats per anchor token
            (None where its λ is 0).
        """
        jobs: list[_Job] = []
        counts = torch.zeros(2, len(self._trainings), dtype=torch.float64)
        for owner in members:
            training = self._trainings[owner]
            weight = training.recipe.anchor.weight_at(step)
            windows = [(self._rows, training.order.training_rows(step), 1.0)]
            if weight > 0:
                windows.append((self._anchor, training.order.anchor_rows(step), weight))
            for kind, (pool, window, factor) in enumerate(windows):
                places = [pool.places[owner][row] for row in window]
                count = pool.frozen.tokens(places)
                counts[kind, owner] = count
                jobs += [
                    _Job(owner, bool(kind), at, pool.frozen.lengths[at], factor / count) for at in places
                ]
        sums = torch.zeros(2, len(self._trainings), dtype=torch.float64)
        for some in self._passes(jobs):
            sums += self._pass(some)
        for owner in members:
            for parameter in self._trainings[owner].adapter.parameters():
                assert parameter.grad is not None  # noqa: S101  (every member has a row in some pass)
                parameter.grad /= self._lift
        means = (sums / counts).tolist()
        return [(means[0][owner], means[1][owner] if counts[1, owner] else None) for owner in members]

    def sources(self, member: int, step: int) -> str:
        """Where the training rows of a member's step come from, for an error message."""
        training = self._trainings[member]
        return sources_of(training.rows, training.order.training_rows(step))

    def _passes(self, jobs: list[_Job]) -> Iterator[list[_Job]]:
        """Cut a step's rows into passes, rows of like length together, each pass member by member."""
        waiting = sorted(jobs, key=lambda job: -job.length)
        while waiting:
            size = max(1, self._pass_tokens // waiting[0].length)
            # Equal passes: a small one at the end would cost almost as much as a full one.
            size = math.ceil(len(waiting) / math.ceil(len(waiting) / size))
            some, waiting = waiting[:size], waiting[size:]
            yield sorted(some, key=lambda job: (job.owner, job.anchor))

    def _pass(self, jobs: list[_Job]) -> Tensor:
        """Add the gradient of some rows' losses; returns their sums by kind and training, (2, trainings)."""
        members = [(owner, len(list(some))) for owner, some in groupby(jobs, key=lambda job: job.owner)]
        adapters = [self._trainings[owner].adapter for owner, _ in members]
        bank = bank_of(adapters, [count for _, count in members])
        rows, split, head = self._joined(jobs), self._split, self._head
        with bank.within(split), recomputed(split) if self._recomputed else nullcontext():
            final = split.suffix(bank.enter(rows.hidden), rows.attention_mask)
            read = final.flatten(0, 1).index_select(0, rows.read.to(final.device))
            count = len(rows.targets)
            nll = token_nll(head, read[:count], rows.targets)
            kl = token_kl(head, rows.reference, read[count:], of=rows.of)
            losses = torch.cat([nll, kl])
            row_of = rows.row_of.to(losses.device)
            shares = losses.new_tensor([self._lift * job.share for job in jobs])
            (losses * shares[row_of]).sum().backward()  # type: ignore[no-untyped-call]
        slots = torch.tensor([job.anchor * len(self._trainings) + job.owner for job in jobs])
        sums = torch.zeros(2 * len(self._trainings), dtype=torch.float64)
        return sums.index_add_(0, slots[row_of.cpu()], losses.detach().double().cpu()).view(2, -1)

    def _joined(self, jobs: list[_Job]) -> _Joined:
        """The rows of a pass, each row of a pool fetched once."""
        width = max(job.length for job in jobs)
        hidden, masks, reads, row_ofs = [], [], [], []
        order = [0] * len(jobs)
        targets = of = torch.zeros(0, dtype=torch.long)
        reference = torch.zeros(0, self._hidden)
        fetched = 0
        for kind, pool in enumerate((self._rows, self._anchor)):
            mine = [number for number, job in enumerate(jobs) if job.anchor == bool(kind)]
            if not mine:
                continue
            distinct = list(dict.fromkeys(jobs[number].place for number in mine))
            numbers = {place: number for number, place in enumerate(distinct)}
            batch = pool.frozen.batch(distinct, padded=True)
            of_row = torch.tensor([numbers[jobs[number].place] for number in mine], device=self._device)
            room = width - batch.hidden.shape[1]
            hidden.append(pad(batch.hidden, (0, 0, 0, room)))
            masks.append(pad(_mask(batch), (0, room)))
            for number, place in zip(mine, of_row.tolist(), strict=True):
                order[number] = fetched + place
            fetched += len(distinct)
            # The place of each read token among the batch's, so that rows can be repeated in any order.
            number_of = torch.zeros_like(batch.positions, dtype=torch.long)
            number_of[batch.positions] = torch.arange(len(batch.targets), device=self._device)
            positions = batch.positions[of_row]
            row, column = positions.nonzero(as_tuple=True)
            token, by_token = number_of[of_row][positions].sort(stable=True)
            row_of = torch.tensor(mine, device=self._device)[row[by_token]]
            row_ofs.append(row_of)
            reads.append(row_of * width + column[by_token])
            if batch.reference is None:
                targets = batch.targets[token]
            else:
                reference, of = batch.reference, token
        chosen = torch.tensor(order)
        states = torch.cat(hidden)
        return _Joined(
            hidden=states[chosen.to(states.device)],
            attention_mask=torch.cat(masks)[chosen.to(self._device)],
            read=torch.cat(reads),
            row_of=torch.cat(row_ofs),
            targets=targets,
            reference=reference,
            of=of,
        )
