"""What the hub's client says when something fails, in words of our own; a login's token is never shown."""

import errno
import re

from narrows.errors import AdapterError

LOGIN = "log in with `hf auth login`, or set the environment variable HF_TOKEN"
OUT_OF_REACH = (
    "Without a network, give a file or folder on this disk instead (and unset HF_HUB_OFFLINE if it is set "
    "unmeant)."
)

_TOKEN = re.compile(r"hf_\w+|(?i:bearer)\s+[\w.~+/=-]+")
_LONGEST = 300


def fetching_failed(asked: str, repo: str, error: Exception) -> AdapterError:
    """Why a repository could not be read, and the way out.

    Args:
        asked: what the user gave.
        repo: ``owner/name``.
        error: what the hub's client raised.
    """
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return AdapterError(
            f"{asked}: {repo} is gated. Ask for access on its page on the hub, then {LOGIN}, and try again."
        )
    if isinstance(error, RevisionNotFoundError):
        return AdapterError(f"{asked}: {repo} has no such revision; give a branch, a tag or a commit of it.")
    if isinstance(error, RepositoryNotFoundError) or _status(error) in (401, 403):
        return AdapterError(
            f"{asked}: there is no model repository {repo} on the hub, or it is private and closed to this "
            f"login. Look at the name; for a private one {LOGIN}."
        )
    if _disk_is_full(error):
        return AdapterError(f"{asked}: the disk with the hub's cache is full. Free some space and try again.")
    return AdapterError(f"{asked} cannot be fetched from the hub: {_said(error)}. {OUT_OF_REACH}")


def pushing_failed(repo: str, error: Exception) -> AdapterError:
    """Why a repository could not be written, and the way out.

    Args:
        repo: ``owner/name``.
        error: what the hub's client raised.
    """
    from huggingface_hub.errors import LocalTokenNotFoundError, RepositoryNotFoundError

    status = _status(error)
    if isinstance(error, LocalTokenNotFoundError) or status == 401:
        return AdapterError(
            f"{repo} was not written: the hub knows no login that may write. Make a token with permission to "
            f"write, then {LOGIN}."
        )
    if status == 403:
        return AdapterError(
            f"{repo} was not written: this login may not write there. Give a name of your own, "
            "--to YOU/NAME, or a token with permission to write to it."
        )
    if isinstance(error, RepositoryNotFoundError) or status == 404:
        return AdapterError(
            f"{repo} was not written: the hub has no such owner, or it is closed to this login. Look at the "
            f"name, and {LOGIN}."
        )
    return AdapterError(
        f"{repo} was not written: {_said(error)}. Nothing is lost: the same command may be given again; "
        "--dry-run shows the card without a network, and `narrows adapter export` writes the files to disk."
    )


def shown_cause(error: Exception) -> Exception | None:
    """The error itself as the cause in a traceback; None where it, or what caused it, holds a token."""
    current: BaseException | None = error
    seen: set[int] = set()
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if _without_tokens(str(current)) != str(current):
            return None
        current = current.__cause__ or current.__context__
    return error


def _said(error: Exception) -> str:
    """The first line of what an error says, without tokens and without what a terminal would obey."""
    lines = _without_tokens(str(error)).strip().splitlines() or [type(error).__name__]
    printable = "".join(one if one.isprintable() else " " for one in lines[0])
    return printable[:_LONGEST].rstrip(" .")


def _without_tokens(text: str) -> str:
    from huggingface_hub import get_token

    token = get_token()
    if token:
        text = text.replace(token, "…")
    return _TOKEN.sub("…", text)


def _status(error: Exception) -> int | None:
    """The HTTP status of an error, if it has one."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _disk_is_full(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
