"""Which layer and which tokens: directions fitted on some clusters, and how well they separate the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from narrows.adapters.direction import Direction
from narrows.adapters.files import ADAPTER_FILE
from narrows.errors import ConfigError, DataError
from narrows.files import write_json
from narrows.geometry.extraction.activations import POSITIONS, Positions, row_means_at
from narrows.geometry.extraction.contrast import Contrast
from narrows.geometry.extraction.methods import Method, found_by, with_facts
from narrows.models import ChatModel, check_layer
from narrows.statistics.detection import auroc

if TYPE_CHECKING:
    from narrows.adapters import Adapter

HELD_OUT = 0.5
"""The share of the clusters that directions are held against and not fitted on."""

TABLE_FILE = "separation.json"


@dataclass(frozen=True)
class Separation:
    """How well a direction separates rows that it was not fitted on.

    Attributes:
        layer: 0-indexed decoder layer.
        positions: which tokens of the rows were averaged.
        auroc: the probability that a positive row projects higher than a negative one.
        low: lower end of its 95 % interval; the units are clusters.
        high: upper end.
        positive: held-out positive rows.
        negative: held-out negative rows.
        clusters: clusters among the held-out rows.
    """

    layer: int
    positions: Positions
    auroc: float
    low: float
    high: float
    positive: int
    negative: int
    clusters: int


@dataclass(frozen=True)
class Extraction:
    """Directions at every layer, and the one that separates best.

    Attributes:
        directions: by position, one for each layer; fitted on all rows.
        table: the separation at each layer and position, of directions that were fitted without the rows
            which they are held against.
        chosen: the direction where the separation is best, or at the layer that was asked for.
    """

    directions: Mapping[Positions, list[Direction]]
    table: list[Separation]
    chosen: Direction

    @property
    def chosen_row(self) -> Separation:
        """The chosen direction's line of the table."""
        place = (self.chosen.layer, self.chosen.found["positions"])
        return next(row for row in self.table if (row.layer, row.positions) == place)

    def save(self, folder: Path, *, choose: bool = True) -> list[Path]:
        """Write one file a layer and position, the chosen one as the folder's adapter, and the table.

        Args:
            folder: made if missing.
            choose: write the chosen one a second time under the name by which the folder stands for it.

        Returns:
            The files of the directions, the chosen one first.

        Raises:
            RunFolderError: a file cannot be written.
        """
        folder.mkdir(parents=True, exist_ok=True)
        files = [self.chosen.save(folder / ADAPTER_FILE)] if choose else []
        for positions, directions in self.directions.items():
            files += [
                one.save(folder / f"layer-{one.layer:02}-{positions}.safetensors") for one in directions
            ]
        write_json(folder / TABLE_FILE, self.as_dict())
        return files

    def as_dict(self) -> dict[str, Any]:
        """The table and the choice as plain values."""
        chosen = {"layer": self.chosen.layer, "length": self.chosen.length, **self.chosen.found}
        return {"chosen": chosen, "separation": [vars(row) for row in self.table]}


def extract_directions(
    chat_model: ChatModel,
    contrast: Contrast,
    *,
    method: Method = "mean-difference",
    positions: Sequence[Positions] = ("answer",),
    layer: int | None = None,
    adapter: "Adapter | None" = None,
    name: str | None = None,
    held_out: float = HELD_OUT,
    seed: int = 0,
    batch_size: int = 16,
    max_length: int | None = None,
) -> Extraction:
    """Find a direction at every layer, and choose the layer and the tokens by held-out separation.

    Clusters (questions, topics) are split once. On one part a direction is fitted at every layer and
    position; the rows of the other part are projected on it, and their AUROC is the table. The best is
    chosen, of equals the one at the earlier layer. The directions that are returned are then fitted on all
    rows.

    Two cautions. The chosen AUROC is the best of many, so it is a little too high. And a direction that
    separates need not *do* anything: whether it causes the behaviour is asked by ablating it and by steering.

    Args:
        chat_model: the model that reads.
        contrast: the two sides.
        method: ``mean-difference``, or ``pca`` of pairs.
        positions: which tokens; several are tried in the same passes.
        layer: choose at this layer; None chooses the layer too.
        adapter: attached while reading, so that the activations are the fine-tune's.
        name: what the directions are called (default: the method's name).
        held_out: share of the clusters that directions are held against.
        seed: draws the split.
        batch_size: rows read at once, at most.
        max_length: tokens kept of a row.

    Raises:
        ConfigError: a value is out of its range.
        DataError: there are too few clusters to split, or as the method and :func:`row_means` raise.
        AdapterError: the layer does not exist, or the adapter does not fit the model.
        ModelError: activations are not finite.
    """
    if not 0 < held_out < 1:
        raise ConfigError(f"held_out is {held_out:g}; it must lie between 0 and 1.")
    if layer is not None:
        check_layer(chat_model.model, layer)
    split = _split(contrast, held_out, seed)
    positive, negative = contrast.rendered(chat_model, max_length)
    read = row_means_at(chat_model, [*positive, *negative], positions, adapter, batch_size)
    facts = {
        "model": chat_model.name,
        "adapted": adapter is not None,
        "source": dict(contrast.source),
        "held_out": held_out,
    }
    table: list[Separation] = []
    directions: dict[Positions, list[Direction]] = {}
    for where, means in read.items():
        sides = means[: len(positive)], means[len(positive) :]
        table += _separations(contrast, split, method, where, sides)
        whole = found_by(method, *sides, contrast.pairs(), name or method)
        directions[where] = [with_facts(one, {"positions": where, **facts}) for one in whole]
    rows = [row for row in table if layer in (None, row.layer)]
    best = max(rows, key=lambda row: (row.auroc, -row.layer, -POSITIONS.index(row.positions)))
    for row in table:
        one = directions[row.positions][row.layer]
        measured = {"auroc": row.auroc, "auroc_ci95": [row.low, row.high], "clusters": row.clusters}
        directions[row.positions][row.layer] = with_facts(one, measured)
    return Extraction(directions, table, directions[best.positions][best.layer])


@dataclass(frozen=True)
class _Split:
    """Places of rows to fit on, and of rows to hold against, of each side."""

    fit: tuple[list[int], list[int]]
    held: tuple[list[int], list[int]]


def _split(contrast: Contrast, share: float, seed: int) -> _Split:
    """Whole clusters on one side or the other; those with rows on both sides of the contrast apart.

    Raises:
        DataError: a part would lack a side.
    """
    sides = (contrast.positive_clusters, contrast.negative_clusters)
    first, second = (dict.fromkeys(clusters) for clusters in sides)
    groups = (
        [name for name in first if name in second],
        [name for name in first if name not in second],
        [name for name in second if name not in first],
    )
    rng = np.random.default_rng(seed)
    held: set[str] = set()
    for group in groups:
        if len(group) > 1:
            count = min(max(round(share * len(group)), 1), len(group) - 1)
            held |= {group[place] for place in rng.permutation(len(group))[:count]}
    parts = [
        tuple(
            [place for place, name in enumerate(clusters) if (name in held) == wanted] for clusters in sides
        )
        for wanted in (False, True)
    ]
    if not all(side for part in parts for side in part):
        raise DataError(
            f"{len(first)} clusters with positive rows and {len(second)} with negative ones cannot be split "
            "so that both parts have both sides: each side needs two clusters (questions or topics)."
        )
    fit, kept = parts
    return _Split((fit[0], fit[1]), (kept[0], kept[1]))


def _separations(
    contrast: Contrast, split: _Split, method: Method, where: Positions, sides: tuple[Tensor, Tensor]
) -> list[Separation]:
    """The separation at each layer, by directions that are fitted on the other part."""
    at_fit = tuple({place: new for new, place in enumerate(places)} for places in split.fit)
    pairs = [
        (at_fit[0][one], at_fit[1][other])
        for one, other in contrast.pairs()
        if one in at_fit[0] and other in at_fit[1]
    ]
    fitted = found_by(method, sides[0][split.fit[0]], sides[1][split.fit[1]], pairs, method)
    clusters = (
        [contrast.positive_clusters[place] for place in split.held[0]],
        [contrast.negative_clusters[place] for place in split.held[1]],
    )
    held = sides[0][split.held[0]], sides[1][split.held[1]]
    found = []
    for layer, direction in enumerate(fitted):
        unit = direction.unit.double()
        above, below = ((side[:, layer].double() @ unit).numpy() for side in held)
        measured = auroc(above, below, clusters)
        found.append(
            Separation(
                layer=layer,
                positions=where,
                auroc=measured.value,
                low=measured.low,
                high=measured.high,
                positive=len(above),
                negative=len(below),
                clusters=measured.clusters,
            )
        )
    return found
