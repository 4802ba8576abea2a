"""``narrows direction compare`` and ``angles``: directions beside each other, and beside chance."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from narrows.cli import options
from narrows.cli.direction import inputs
from narrows.cli.inputs import load_model
from narrows.cli.output import print_json, show, show_line
from narrows.cli.running import working
from narrows.cli.tables import plain_table

if TYPE_CHECKING:
    from rich.table import Table

    from narrows.geometry.comparison import CosineTable, GroupCosine, SubspaceComparison


def compare(
    *,
    directions: Annotated[
        list[str],
        typer.Argument(
            help="Directions or steering vectors: files, runs' folders, hub:owner/name; NAME=FILE names one.",
            metavar="[NAME=]FILE…",
            show_default=False,
        ),
    ],
    model: inputs.CovarianceModel = None,
    texts: inputs.Texts = inputs.FINEWEB,
    texts_count: inputs.TextsCount = 64,
    group_by: Annotated[
        Literal["name", "layer"] | None,
        typer.Option(help="Also give mean cosines of groups: by layer, or by the name up to its first /."),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Cosines between directions, beside those of random ones.

    The band of random directions is exact for this width. With --model there is a harder one, drawn with the
    covariance of the residual stream on the texts: directions that lie where the stream varies agree more.
    A cosine within chance stands in brackets. Whatever the layers, the vectors are compared as they are.

    --json also gives every vector's projection on every other.

    Example: `narrows direction compare garden/a=runs/garden-a garden/b=runs/garden-b law/a=runs/law-a
    --group-by name --model microworld:1 --texts texts.txt`
    """
    with working(quiet):
        from narrows.geometry.comparison import cosine_table, group_cosines, projection

        found = inputs.read_directions(directions)
        covariances = None
        if model is not None:
            layers = sorted({one.layer for one in found})
            chat_model = load_model(model, device, layers[0])
            for one in found:
                one.check(chat_model.model)
            covariances = inputs.covariances(chat_model, layers, texts, texts_count)
        table = cosine_table(found, covariances=covariances, seed=seed or 0)
        groups: list[GroupCosine] = []
        if group_by is not None:
            labels = [
                f"layer {one.layer}" if group_by == "layer" else one.name.split("/")[0] for one in found
            ]
            groups = group_cosines(table, labels)
    pairs = [projection(one, other) for one in found for other in found if one is not other]
    if as_json:
        print_json(
            {
                "directions": [{"name": one.name, "layer": one.layer, "length": one.length} for one in found],
                "cosines": table.cosines.tolist(),
                "random_limit95": table.limit,
                "random_limit95_all_pairs": table.limit_all,
                "covariance_limits95": (
                    None if table.covariance_limits is None else table.covariance_limits.tolist()
                ),
                "groups": [asdict(one) for one in groups],
                "projections": [asdict(one) for one in pairs],
            }
        )
        return
    show(_cosines(table), "")
    show_line(
        f"In brackets: within chance. 95 % of random pairs have |cosine| ≤ {table.limit:.3f}"
        + (f"; of all {len(pairs) // 2} pairs at once, ≤ {table.limit_all:.3f}." if len(pairs) > 2 else ".")
    )
    if table.covariance_limits is not None:
        show_line("With the residual stream's covariance the limit is each pair's own, after the ±.")
    if groups:
        show("", _groups(groups))
    for pair in pairs if len(found) == 2 else ():
        show_line(
            f"{pair.name} along {pair.onto}: {pair.length:+.3g}, {100 * pair.share:+.0f} % of its norm; "
            f"{pair.rest:.3g} is orthogonal to it."
        )


def angles(
    *,
    of: Annotated[
        list[str],
        typer.Option(
            "--of", help="A direction of the first subspace; give it several times.", metavar="[NAME=]FILE"
        ),
    ],
    others: Annotated[
        list[str],
        typer.Option(
            "--with", help="A direction of the second subspace; give it several times.", metavar="[NAME=]FILE"
        ),
    ],
    model: inputs.CovarianceModel = None,
    texts: inputs.Texts = inputs.FINEWEB,
    texts_count: inputs.TextsCount = 64,
    draws: Annotated[int, typer.Option(help="Pairs of random subspaces.", min=2)] = 500,
    seed: options.Seed = 0,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Principal angles between the subspaces that two sets of directions span, beside random ones.

    An angle of 0 is a direction that both contain, 90° one that the other knows nothing of. With --model the
    random subspaces are drawn with the covariance of the residual stream at the first direction's layer.

    Example: `narrows direction angles --of runs/garden-1 --of runs/garden-2 --with runs/law-1 --with
    runs/law-2`
    """
    with working(quiet):
        from narrows.geometry.comparison import Subspace, compare_subspaces

        sides = [inputs.read_directions(given) for given in (of, others)]
        covariance = None
        if model is not None:
            layer = sides[0][0].layer
            chat_model = load_model(model, device, layer)
            sides[0][0].check(chat_model.model)
            covariance = inputs.covariances(chat_model, [layer], texts, texts_count)[layer]
        one, other = (Subspace.of(side) for side in sides)
        found = compare_subspaces(one, other, covariance=covariance, draws=draws, seed=seed or 0)
    if as_json:
        print_json(
            {
                "of": list(one.names),
                "with": list(other.names),
                "dimensions": [one.dimensions, other.dimensions],
                "angles": found.angles.tolist(),
                "random_ci95": [list(bounds) for bounds in found.random],
                "overlap": found.overlap,
                "overlap_random_ci95": list(found.overlap_random),
                "random": "isotropic" if covariance is None else "covariance",
            }
        )
        return
    show(_angles(found), "")
    low, high = (100 * bound for bound in found.overlap_random)
    show_line(
        f"The smaller subspace lies in the other by {100 * found.overlap:.1f} % (mean cos²); random ones of "
        f"{one.dimensions} and {other.dimensions} dimensions by {low:.1f} to {high:.1f} %."
    )


def _cosines(table: "CosineTable") -> "Table":
    """The cosines as a triangle, with the harder limit where there is one."""
    from rich.markup import escape

    numbers = [str(place) for place in range(1, len(table.names) + 1)]
    shown = plain_table("Cosines between directions", "", "direction", "layer", "norm", *numbers, words=2)
    for row, name in enumerate(table.names):
        cells = []
        for column in range(row):
            cosine, limit, beside = float(table.cosines[row, column]), table.limit, ""
            if table.covariance_limits is not None:
                limit = float(table.covariance_limits[row, column])
                beside = f" [dim]±{limit:.2f}[/]"
            cells.append((f"({cosine:.3f})" if abs(cosine) <= limit else f"{cosine:.3f}") + beside)
        shown.add_row(
            numbers[row], escape(name), str(table.layers[row]), f"{table.lengths[row]:.3g}", *cells, "1"
        )
    return shown


def _groups(groups: "Sequence[GroupCosine]") -> "Table":
    from rich.markup import escape

    from narrows.report.text import estimate

    table = plain_table("Mean cosines of groups", "", "", "mean", "95 %", "least", "most", "pairs", words=2)
    for one in groups:
        mean, bounds = estimate(one.mean, one.ci95)
        spread = f"{one.least:.3f}", f"{one.most:.3f}", str(one.pairs)
        table.add_row(escape(one.first), escape(one.second), mean, escape(bounds), *spread)
    return table


def _angles(found: "SubspaceComparison") -> "Table":
    import math

    table = plain_table("Principal angles", "", "angle", "cosine", "random, 95 %", words=0)
    for place, (angle, bounds) in enumerate(zip(found.angles, found.random, strict=True), 1):
        low, high = map(math.degrees, bounds)
        table.add_row(
            str(place), f"{math.degrees(angle):.1f}°", f"{math.cos(angle):.3f}", f"{low:.1f}° to {high:.1f}°"
        )
    return table
