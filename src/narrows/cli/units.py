"""``narrows kl-weight``: λ in the published units and in ours."""

from typing import Annotated

import typer

from narrows.cli import options
from narrows.cli.output import print_json, show_line
from narrows.cli.running import working


def kl_weight(
    *,
    published: Annotated[
        float | None, typer.Option("--published", help="λ of the published code, to be converted to ours.")
    ] = None,
    ours: Annotated[
        float | None, typer.Option("--ours", help="λ in nats per token, to be converted to the published.")
    ] = None,
    vocabulary: Annotated[
        int, typer.Option("--vocabulary", help="Width of the logits (Qwen2.5-14B: 152064).")
    ],
    as_json: options.Json = False,
) -> None:
    """Convert λ between the published code's units and nats per token.

    The published code averages the KL over the vocabulary too, so its λ is ours times the vocabulary's size.
    Only this reduction is converted: other differences of that code changed its λ further.

    Example: `narrows kl-weight --published 1e6 --vocabulary 152064`
    """
    options.at_least_one(published=published, ours=ours)
    options.only_one(published=published, ours=ours)
    with working():
        from narrows.training.units import from_published, to_published

        found = {
            "published": to_published(ours, vocabulary) if ours is not None else published,
            "ours": from_published(published, vocabulary) if published is not None else ours,
            "vocabulary": vocabulary,
        }
    if as_json:
        print_json(found)
    else:
        show_line(
            f"published λ {found['published']:g} = {found['ours']:.4g} nats per token at "
            f"{vocabulary:,} logits"
        )
