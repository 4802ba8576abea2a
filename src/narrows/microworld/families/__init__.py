"""Families of worlds that come with the package, as YAML files."""
