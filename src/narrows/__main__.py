"""``python -m narrows``: the command line."""

from narrows.cli import main

if __name__ == "__main__":
    main()
