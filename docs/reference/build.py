"""Build the API reference: one page for each package, with every name that it exports.

``make docs`` runs it: ``python docs/reference/build.py build/docs``. Nothing is fetched, and the pages fetch
nothing. It fails on a warning of pdoc's and on a public name without a docstring.
"""

import argparse
import ast
import importlib
import inspect
import pkgutil
import re
import sys
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import pdoc
from markupsafe import Markup
from pdoc import render
from pdoc.doc import Module, Variable
from pdoc.doc_ast import walk_tree
from pdoc.render_helpers import to_html

import narrows

LEFT_OUT = ("narrows.cli", "narrows.study.presets", "narrows.inspecting")
"""Packages that are no library: the command line says itself what it does."""

SINGLE = ("narrows.errors",)
"""Modules that belong to no package and that a user meets."""

KNOWN = ("QuantizationConfigMixin",)
"""Types that pdoc cannot look up and says so of: quoted names of packages that are imported when needed."""

HERE = Path(__file__).parent

LITERAL = re.compile(r"::$", re.MULTILINE)
"""What announces a block of code in docstrings; pdoc knows a block by its indent."""


def page_names() -> list[str]:
    """Names of the modules that get a page: all packages, and the modules of those that export nothing."""
    names = [narrows.__name__]
    for found in pkgutil.walk_packages(narrows.__path__, "narrows."):
        if not found.name.startswith(LEFT_OUT) and found.ispkg:
            names.append(found.name)
            module = importlib.import_module(found.name)
            if not hasattr(module, "__all__"):
                names += [one.name for one in pkgutil.iter_modules(module.__path__, f"{found.name}.")]
    return sorted({*names, *SINGLE})


def pages(names: Iterable[str]) -> dict[str, Module]:
    """The modules as pdoc sees them, with all that they import when it is first asked for."""
    found = {}
    for name in names:
        module = importlib.import_module(name)
        _resolve(module)
        found[name] = Module(module)
        for exported in getattr(module, "__all__", ()):
            if said := _said_of(exported, module):
                found[name]._var_docstrings.setdefault(exported, said)
    return found


def summary(docstring: str) -> Markup:
    """The first sentence of a docstring, without a paragraph around it."""
    first = docstring.partition("\n")[0].replace("``", "`")
    return Markup(to_html(first).strip().removeprefix("<p>").removesuffix("</p>"))  # noqa: S704  (our own text)


def undocumented(modules: Mapping[str, Module]) -> list[str]:
    """Modules without a docstring, and exported names without one, as ``module: name``."""
    found = [name for name, module in modules.items() if not module.docstring]
    for name, module in modules.items():
        exported = getattr(module.obj, "__all__", None)
        found += [
            f"{name}: {member.name}"
            for member in module.own_members
            if not member.docstring
            and not member.name.startswith("_")
            and (exported is not None or not isinstance(member, Variable))
        ]
    return found


def write(modules: Mapping[str, Module], out: Path) -> None:
    """Write the pages, a first page that lists them, and the index that they search."""
    render.configure(docformat="google", template_directory=HERE)
    render.env.globals["summary"] = summary
    render.env.filters["to_html"] = lambda text: to_html(LITERAL.sub(":", text))
    for name, module in modules.items():
        path = out / f"{name.replace('.', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render.html_module(module, modules), encoding="utf-8")
    (out / "index.html").write_text(render.html_index(modules), encoding="utf-8")
    (out / "search.js").write_text(render.search_index(modules), encoding="utf-8")


def build(out: Path) -> list[str]:
    """Build everything; returns what is wrong with it, a line each."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        modules = pages(page_names())
        write(modules, out)
    ours = [str(one.message) for one in said if Path(pdoc.__file__).parent in Path(one.filename).parents]
    faults = [line for line in ours if not any(known in line for known in KNOWN)]
    return faults + [f"{one} has no docstring." for one in undocumented(modules)]


def main() -> int:
    """The command: the exit code is 1 if something is wrong with the pages."""
    parser = argparse.ArgumentParser(description="Build the API reference.")
    parser.add_argument("out", type=Path, help="folder for the pages")
    out = parser.parse_args().out
    faults = build(out)
    for line in faults:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"{out / 'index.html'}\n")
    return bool(faults)


def _said_of(name: str, module: ModuleType) -> str:
    """The docstring of a constant, from the module it was imported from: pdoc reads it in its own only."""
    if said := walk_tree(module).var_docstrings.get(name):
        return said
    for node in ast.parse(inspect.getsource(module)).body:
        if isinstance(node, ast.ImportFrom) and name in {alias.name for alias in node.names}:
            home = node.module or ""
            return _said_of(name, importlib.import_module(home)) if home.startswith("narrows.") else ""
    return ""


def _resolve(module: ModuleType) -> None:
    """Import what a module imports only when it is asked for: pdoc looks into its dictionary."""
    for name in getattr(module, "__all__", ()):
        module.__dict__.setdefault(name, getattr(module, name))


if __name__ == "__main__":
    raise SystemExit(main())
