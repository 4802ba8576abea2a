"""Directions of different models compared by effect: by what steering with them does to the predictions.

Residual streams of two models have nothing in common, not even their width, so a cosine between their
directions means nothing. Their predictions of the same texts do have a common space where they share a
tokenizer: one coordinate for each position and token.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from scipy.special import stdtrit
from torch import Tensor

from narrows.adapters import Adapter, square_root
from narrows.chat import Rendered
from narrows.errors import AdapterError, ConfigError, DataError
from narrows.files import digest
from narrows.geometry.comparison.chance import LEVEL
from narrows.models import ChatModel, FrozenRows, Head
from narrows.progress import bar
from narrows.summary import Interval

POSITIONS = 2048
BYTES = 2**28
"""Most positions of the probe that are kept, and most bytes of them: 441 at a vocabulary of 152,064."""

RANDOM = 10
BATCH_ROWS = 16


@dataclass(frozen=True, eq=False)
class Effect:
    """What steering does to a model's predictions of a probe.

    Attributes:
        name: of the direction.
        change: (positions, vocabulary), fp32, on the CPU; see :func:`effect`.
        norm: the effective norm it was steered with.
        probe: a digest of the vocabulary, the texts and the positions: only effects of one probe have a
            cosine.
    """

    name: str
    change: Tensor
    norm: float
    probe: str

    @property
    def size(self) -> float:
        """The root mean square length of the change at a position: a Hellinger distance × √2."""
        return float(self.change.double().square().sum(dim=1).mean().sqrt())

    def cosine(self, other: "Effect") -> float:
        """The cosine of two effects over all positions and tokens; 0 where one of them is zero.

        Raises:
            ConfigError: they are of different probes or vocabularies.
        """
        if self.probe != other.probe:
            raise ConfigError(
                f"the effects of {self.name} and {other.name} were taken on different texts or positions, or "
                "with different tokenizers: only those of one probe can be compared."
            )
        left, right = self.change.flatten(), other.change.flatten()
        lengths = float(left.norm()) * float(right.norm())
        return float(left @ right) / lengths if lengths > 0 else 0.0


def effect(
    chat_model: ChatModel,
    adapter: Adapter,
    rows: Sequence[Rendered],
    *,
    name: str = "direction",
    positions: int = POSITIONS,
    seed: int = 0,
) -> Effect:
    """The change that an adapter makes to the next-token predictions of a probe.

    At each position √P' − √P, P' being the predictions with the adapter and P without. To first order this is
    ½ √P · Δ log P, and its length the Fisher metric's: the change of log-probabilities, weighted by what the
    model says at all. Unweighted, the cosine is decided by tokens that neither prediction would ever give,
    and tells nothing apart: in the microworld's three models all pairs of general vectors then lie at .3 to
    .6, and random directions do too; weighted, those of one kind lie at .4 to .8 and others at .04 to .08.

    Args:
        chat_model: the model.
        adapter: at the norm that it is steered with.
        rows: the probe: texts rendered by this model's tokenizer; all of them are read.
        name: what the direction is called.
        positions: most positions kept, drawn by the seed; fewer where they would not fit in 256 MiB.
        seed: draws them: the same in every model.

    Raises:
        AdapterError: the adapter is zero or does not fit the model.
        DataError: the rows hold no position to predict.
    """
    adapter.check(chat_model.model)
    if not adapter.effective_norm > 0:
        raise AdapterError(f"{name} changes nothing: an adapter of zeros has no effect to compare.")
    frozen = FrozenRows(
        chat_model, adapter.depth, rows, read="all", reference=True, stored=False, cache_bytes=0
    )
    vocabulary = chat_model.tokenizer.get_vocab()
    size = max(vocabulary.values()) + 1  # models pad theirs to different sizes
    kept = _kept(frozen, positions, size, seed)
    change = _change(chat_model, adapter.placed(chat_model.model), frozen, kept, size)
    tokens = [row.input_ids for row in rows]
    probe = digest([sorted(vocabulary.items()), tokens, kept.tolist()])
    return Effect(name, change, adapter.effective_norm, probe)


def random_effects(
    chat_model: ChatModel,
    like: Adapter,
    rows: Sequence[Rendered],
    *,
    count: int = RANDOM,
    covariance: Tensor | None = None,
    positions: int = POSITIONS,
    seed: int = 0,
) -> list[Effect]:
    """Effects of random adapters of another's place and norm: what chance does in this model.

    Args:
        chat_model: the model.
        like: gives place, kind and norm.
        rows: the probe.
        count: how many.
        covariance: (hidden, hidden), of the residual stream: the harder control.
        positions: as for :func:`effect`.
        seed: draws adapters and positions.

    Raises:
        AdapterError: the adapter is zero or does not fit the model.
        DataError: the rows hold no position to predict.
    """
    generator = torch.Generator().manual_seed(seed)
    root = None if covariance is None else square_root(covariance)
    found = []
    with bar("effects of random directions", count) as shown:
        for number in range(count):
            drawn = like.random_like(generator, root).scaled_to(like.effective_norm)
            one = effect(chat_model, drawn, rows, name=f"random-{number}", positions=positions, seed=seed)
            found.append(one)
            shown.advance()
    return found


@dataclass(frozen=True)
class PairOfEffects:
    """The cosine of two effects, with the central 95 % of what a random direction in one's place has."""

    first: str
    second: str
    cosine: float
    random: Interval | None


@dataclass(frozen=True)
class EffectTable:
    """Effects compared with each other."""

    names: tuple[str, ...]
    sizes: tuple[float, ...]
    pairs: tuple[PairOfEffects, ...]


def effect_table(
    effects: Sequence[Effect], chance: Mapping[str, Sequence[Effect]] | None = None
) -> EffectTable:
    """The cosine of every two effects, with the band of random directions.

    The band is wide enough for both ways: the first effect with random directions of the second's model, and
    the second with those of the first's (mean ± t · s · √(1 + 1/n), of one further draw).

    Args:
        effects: of directions in any models that share a tokenizer, by different names.
        chance: by an effect's name, effects of random directions in its model.

    Raises:
        ConfigError: there are fewer than two effects, two have one name, or they are of different probes.
    """
    names = tuple(one.name for one in effects)
    if len(effects) < 2 or len(set(names)) < len(names):
        raise ConfigError(f"give two effects or more, each by its own name; these are {', '.join(names)}.")
    pairs = []
    for first, second in combinations(effects, 2):
        drawn = [
            [one.cosine(other) for other in (chance or {}).get(place.name, ())]
            for one, place in ((first, second), (second, first))
        ]
        bands = [_predicted(values) for values in drawn if len(values) > 1]
        band = (min(low for low, _ in bands), max(high for _, high in bands)) if bands else None
        pairs.append(PairOfEffects(first.name, second.name, first.cosine(second), band))
    return EffectTable(names, tuple(one.size for one in effects), tuple(pairs))


def _predicted(values: Sequence[float]) -> Interval:
    """Where one more value of the same kind would lie, 95 %."""
    count, mean, spread = len(values), float(np.mean(values)), float(np.std(values, ddof=1))
    half = float(stdtrit(count - 1, (1 + LEVEL) / 2)) * spread * (1 + 1 / count) ** 0.5
    return max(mean - half, -1.0), min(mean + half, 1.0)


def _kept(frozen: FrozenRows, positions: int, vocabulary: int, seed: int) -> Tensor:
    """Which of all read positions are kept, counted over the rows in their order, (n,), ascending."""
    total = frozen.tokens(range(len(frozen)))
    if not total:
        raise DataError(f"the {len(frozen)} texts of the probe hold no token to predict.")
    most = min(positions, max(1, BYTES // (4 * vocabulary)))
    chosen = np.random.default_rng(seed).permutation(total)[:most]
    return torch.from_numpy(np.sort(chosen))


@torch.no_grad()
def _change(
    chat_model: ChatModel, adapter: Adapter, frozen: FrozenRows, kept: Tensor, vocabulary: int
) -> Tensor:
    """√P' − √P at the kept positions, (n, vocabulary), fp32."""
    head = Head(chat_model.model).widened()
    pieces: list[Tensor] = []
    seen = 0
    for start in range(0, len(frozen), BATCH_ROWS):
        batch = frozen.batch(range(start, min(start + BATCH_ROWS, len(frozen))))
        count = len(batch.targets)
        here = kept[(kept >= seen) & (kept < seen + count)] - seen
        seen += count
        if not len(here):
            continue
        with adapter.within(frozen.split):
            changed = frozen.split.suffix(adapter.enter(batch.hidden), batch.layout, batch.positions)
        for some in torch.split(here, head.chunk):
            after, before = (
                (head.logits(final[some.to(final.device)])[:, :vocabulary].log_softmax(-1) / 2).exp()
                for final in (changed, batch.reference)
                if final is not None
            )
            pieces.append((after - before).float().cpu())
    return torch.cat(pieces)
