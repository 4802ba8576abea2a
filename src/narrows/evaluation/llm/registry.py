"""What Inspect finds under the name ``narrows``: it imports this module through the package's entry point."""
