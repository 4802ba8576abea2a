"""YAML files that come with the package, each by its name: recipes of studies, families of worlds."""

from importlib import resources

ENDING = ".yaml"


def packaged_names(package: str) -> list[str]:
    """The YAML files in a package, such as ``narrows.study.presets``, without their ending."""
    files = resources.files(package).iterdir()
    return sorted(one.name.removesuffix(ENDING) for one in files if one.name.endswith(ENDING))


def packaged_text(package: str, name: str) -> str:
    """What one of :func:`packaged_names` holds, comments and all."""
    return resources.files(package).joinpath(f"{name}{ENDING}").read_text(encoding="utf-8")
