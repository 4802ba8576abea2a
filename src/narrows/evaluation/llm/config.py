"""Which model judges, how it is reached, and what it may cost."""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from narrows.configuration import Configuration
from narrows.errors import ConfigError
from narrows.files import digest

_SECRET_NAME = re.compile(r"key|token|secret|passw|credential|auth", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_LEAST_SECRET = 8
_NEEDED: dict[str, dict[str, Any]] = {
    "narrows/": {"whole_numbers": True},
    # Inspect's provider passes temperature 0 on, at which transformers refuses to sample.
    "hf/": {"do_sample": False},
    # It speaks to models that it does not know by OpenAI's newer API; log-probabilities of the first token,
    # and other servers, want the older one.
    "openai/": {"responses_api": False},
}
"""Arguments that judges of these providers are made with, unless the user's say otherwise."""
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class JudgeConfig(Configuration):
    """A judge model as Inspect names it, and the limits under which it is asked.

    Keys are read from the environment only (``OPENAI_API_KEY`` and the like); nothing here may hold one.
    """

    model: str = Field(pattern=r"^[\w.-]+/.+", description="As Inspect names models: provider/name.")
    url: str | None = Field(None, description="Where an OpenAI-compatible endpoint serves it.")
    args: dict[str, Any] = Field({}, description="Arguments of Inspect's provider (-M of its command line).")
    connections: int = Field(20, ge=1, description="Requests under way at once.")
    timeout_s: int = Field(120, ge=1, description="Seconds after which a request is given up and sent again.")
    retries: int = Field(8, ge=0, description="How often a request that failed is sent again.")
    max_tokens: int | None = Field(
        None, ge=1, description="Tokens of a reply (default: 1 with log-probabilities, 16 without)."
    )

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        if url is not None:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("needs the form http(s)://host[:port]/v1")
            if parts.username or parts.password or parts.query:
                raise ValueError("must hold no user, password or query: keys come from the environment only")
        return url

    @field_validator("args")
    @classmethod
    def _no_keys(cls, args: dict[str, Any]) -> dict[str, Any]:
        for name in _names(args):
            if _SECRET_NAME.search(name) and name not in ("tokenizer", "tokenizer_path", "max_tokens"):
                raise ValueError(f"{name} looks like a key: keys come from the environment only")
        return args

    @property
    def local_endpoint(self) -> bool:
        """Whether the judge is served on this machine, where no key is needed."""
        return self.url is not None and urlsplit(self.url).hostname in _LOOPBACK

    @property
    def provider_args(self) -> dict[str, Any]:
        """``args``, with what a judge in this process needs unless they say otherwise."""
        needed = next((args for start, args in _NEEDED.items() if self.model.startswith(start)), {})
        return needed | self.args

    def identity(self) -> str:
        """A digest of all that decides what the judge replies.

        A local checkpoint or adapter counts with its files, and without :attr:`url` so does the address that
        the environment gives (``OPENAI_BASE_URL`` and the like).
        """
        places = [self.model.partition("/")[2], *map(str, self.args.values())]
        files = [found for place in places for found in _files(place)]
        served = {} if self.url is not None else _addresses(self.model)
        facts = [self.model, self.url, self.provider_args, self.max_tokens, files]
        return digest([*facts, served] if served else facts)


def _names(value: object) -> Iterator[str]:
    """The names in a value, however deep they stand."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            yield str(name)
            yield from _names(below)
    elif isinstance(value, list | tuple):
        for below in value:
            yield from _names(below)


def _files(place: str) -> list[tuple[str, int, int]]:
    """What tells a file, or the files in a folder, from what stood there before; nothing for other texts."""
    if not os.path.exists(place):  # noqa: PTH110  (any text may stand there)
        return []
    path = Path(place)
    entries = sorted(one for one in path.iterdir() if one.is_file()) if path.is_dir() else [path]
    return [(one.name, (found := one.stat()).st_size, found.st_mtime_ns) for one in entries]


def _addresses(model: str) -> dict[str, str]:
    """Where the environment says that a model's provider is, by the variables that Inspect reads."""
    provider, _, rest = model.partition("/")
    parts = [provider, rest.partition("/")[0]]  # openai-api/SERVICE/NAME is reached by SERVICE_BASE_URL
    names = [re.sub(r"\W", "_", part).upper() for part in parts]
    wanted = {f"{name}_BASE_URL" for name in (*names, "AZUREAI", "AZUREAI_OPENAI", "INSPECT_EVAL_MODEL")}
    return {name: value for name, value in os.environ.items() if name in wanted and value}


def parse_args(pairs: list[str]) -> dict[str, Any]:
    """Provider arguments given as ``name=value``; values are read as YAML reads plain values.

    Raises:
        ConfigError: a pair has no ``=``.
    """
    import yaml

    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name:
            raise ConfigError(f"{pair!r} is no argument of the judge's provider: write name=value.")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            parsed = value
        found[name] = parsed if isinstance(parsed, str | int | float | bool) else value
    return found


def redacted(text: str, environment: Mapping[str, str] | None = None) -> str:
    """A text without the values of the environment's keys, should a server have repeated one.

    Give it the whole text: of one that was cut, half a key may be left.
    """
    for name, value in (environment or os.environ).items():
        if _SECRET_VARIABLE.search(name) and len(value) >= _LEAST_SECRET:
            text = text.replace(value, f"[{name}]")
    return text
