"""``narrows direction``: find directions, compare them, and write models without them."""

import typer

app = typer.Typer(
    help="Find directions in the residual stream, compare them, and write models without them.",
    no_args_is_help=True,
)
