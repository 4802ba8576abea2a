"""The command line: every step of a study is a command, and ``narrows demo`` is all of them at once.

``app`` puts the commands together; ``running`` is what happens around each (progress, errors, Ctrl-C);
``options`` are the flags that several share, ``inputs`` what they read, ``settings`` how flags and YAML files
become a configuration, ``output`` and ``tables`` what is shown. The other modules are the commands, one group
a file.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from narrows.cli.app import app, main

__all__ = ["app", "main"]
