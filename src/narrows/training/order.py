"""Which rows a step reads: determined by (seed, step) alone, so that a resumed run reads the same."""

import math
from collections.abc import Iterator

import numpy as np

from narrows.training.recipe import Recipe

_TRAINING, _ANCHOR = 0, 1
"""Streams of random numbers: the seed's first companion."""


class RowOrder:
    """The rows of each step's accumulation window; steps and rows are counted from 0.

    Training rows come in a new random order each epoch, and windows never cross an epoch's end: its last
    window may be smaller. Anchor rows come in one random order, cycled.

    Args:
        recipe: sets the window, the steps and the seed.
        rows: how many training rows there are, at least one.
        anchor_rows: how many anchor rows there are.

    Attributes:
        steps: steps of the whole run.
    """

    def __init__(self, recipe: Recipe, rows: int, anchor_rows: int) -> None:
        self._seed = recipe.seed
        self._rows = rows
        self._window = recipe.batch_size * recipe.accumulation
        self._per_epoch = math.ceil(rows / self._window)
        self._anchor_order = np.random.default_rng([recipe.seed, _ANCHOR]).permutation(anchor_rows)
        self._anchor_window = max(1, round(self._window * recipe.anchor.rows_per_row)) if anchor_rows else 0
        self.steps: int = recipe.steps or max(1, round(self._per_epoch * recipe.epochs))

    def training_rows(self, step: int) -> list[int]:
        """The training rows of a step."""
        epoch, within = divmod(step, self._per_epoch)
        order = np.random.default_rng([self._seed, _TRAINING, epoch]).permutation(self._rows)
        first = within * self._window
        return [int(row) for row in order[first : first + self._window]]

    def anchor_rows(self, step: int) -> list[int]:
        """The anchor rows of a step."""
        first, order = step * self._anchor_window, self._anchor_order
        return [int(order[place % len(order)]) for place in range(first, first + self._anchor_window)]

    @staticmethod
    def passes(rows: list[int], size: int) -> Iterator[list[int]]:
        """Cut a window into forward passes of at most ``size`` rows."""
        for start in range(0, len(rows), size):
            yield rows[start : start + size]
