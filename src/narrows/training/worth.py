"""Whether trainings are faster in a bank than one after another, from what is known beforehand."""

from typing import Literal

from narrows.training.recipe import Recipe

FEWEST: dict[Literal["steering", "lora"], int] = {"steering": 8, "lora": 4}
"""Members of a bank from which on it was at least about 1.2 × as fast on a CPU, by the kind of adapter."""

FEWEST_ON_A_GPU = 4

MOST_WORK = {"cpu": 4e6, "cuda": 3e9}
"""Tokens of one member's pass times the square of the model's width, up to which a bank pays on a device."""


def pays(recipe: Recipe, *, hidden: int, tokens_per_row: float, members: int, device: str) -> bool:
    """Whether a bank is expected to be at least 1.2 × as fast as its members one after another.

    A bank saves what a pass costs however little is in it (the work of Python, the dispatch of operations),
    and pays where a member's own passes are so small that this weighs. Measured with ``benchmarks/bank.py``
    on a CPU with one thread a process, in CPU time, against the same trainings with warm caches:

    - microworld, width 112, passes of 8 rows of 30 tokens (work 3e6), without an anchor and with one: 4
      members 1.14 and 1.17 × (vectors), 1.27 to 1.35 × (LoRAs of rank 1 and 32); 8 members 1.35 and 1.19 ×,
      1.24 to 1.48 ×; 16 members 1.47 and 1.30 ×, 1.22 to 1.52 ×;
    - a random model of width 256: passes of 2 rows of 55 tokens (work 7e6) 1.13 ×, of 8 rows (3e7) 0.91 ×,
      of 32 rows (1e8) 1.09 ×;
    - one of width 768 (a body of 100 M parameters): of 2 rows (7e7) 1.16 to 1.28 ×, of 8 rows (3e8) 1.09 ×.

    On a GPU, which a small pass leaves idle while Python prepares the next, it saves more. On an H100, in
    bf16, in wall time:

    - microworld: 4 members 1.8 to 3.4 ×, 8 members 2.2 to 6.2 ×, 16 members 2.2 to 5.9 ×;
    - random models of 24 layers and width 1,024 and 2,048: passes of 2 rows of 80 tokens 1.5 to 2.2 ×, of 8
      rows (work 7e8 and 3e9) 2.0 and 1.6 to 1.8 ×;
    - one of 14 B parameters, 8 rows of 78 tokens (1.6e10): 1.16 ×.

    Between these the rule says no: the gain is small or was not found. No other device was measured.

    Args:
        recipe: of the members; ``batch_size`` rows are one pass of a member alone.
        hidden: the model's width.
        tokens_per_row: mean length of their rows.
        members: how many there are.
        device: the kind of device, ``cpu`` or another.
    """
    work = recipe.batch_size * tokens_per_row * hidden**2
    fewest = FEWEST[recipe.adapter] if device == "cpu" else FEWEST_ON_A_GPU
    return members >= fewest and work <= MOST_WORK.get(device, 0.0)
