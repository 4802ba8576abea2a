"""Every command explains itself, at once."""

import subprocess
import sys

import pytest
from cli_helpers import invoke

COMMANDS = [
    ("demo",),
    ("mitigations",),
    ("report",),
    ("report", "verify"),
    ("train",),
    ("tune",),
    ("kl-weight",),
    ("presets",),
    ("evaluate",),
    ("rates",),
    ("suites",),
    ("efficiency",),
    ("stability",),
    ("significance",),
    ("trajectory",),
    ("ablate",),
    ("gradients",),
    ("subspace",),
    ("direction", "extract"),
    ("direction", "personas"),
    ("direction", "singular"),
    ("direction", "random"),
    ("direction", "show"),
    ("direction", "compare"),
    ("direction", "angles"),
    ("direction", "effects"),
    ("direction", "orthogonalise"),
    ("data", "check"),
    ("data", "split"),
    ("data", "mix"),
    ("adapter", "show"),
    ("adapter", "scale"),
    ("adapter", "combine"),
    ("adapter", "export"),
    ("adapter", "push"),
    ("behaviour", "export"),
    ("world", "pretrain"),
    ("world", "show"),
    ("world", "check"),
    ("world", "sample"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_a_purpose_an_example_and_json(command: tuple[str, ...]) -> None:
    said = " ".join(invoke(*command, "--help").stdout.split())
    assert f"Example: narrows {' '.join(command)} " in said
    assert "--json" in said


def test_every_command_is_listed() -> None:
    said = invoke("--help").stdout
    assert all(command[0] in said for command in COMMANDS)


def test_help_and_version_import_nothing_heavy() -> None:
    code = (
        "import sys; from narrows.cli import app\n"
        "for flag in ('--help', '--version'): app([flag], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'matplotlib', 'sklearn', 'scipy'} & sys.modules.keys()\n"
        "sys.exit(', '.join(sorted(heavy)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "narrows 0." in done.stdout
