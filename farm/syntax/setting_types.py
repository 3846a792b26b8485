"""How values are written: in YAML, in a variable, in a flag; each kind read by one function, or refused."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_LAST_PORT = 65535
_SWITCHES = ("true", "yes", "on", "1", "false", "no", "off", "0")
_PLATFORM = re.compile(r"linux/[a-z0-9]+")
BUILDERS = ("auto", "engine", "buildx")


class Secret:
    """A string that no repr, log or JSON shows; `reveal()` is the one way to it."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash(self._value)


def read_text(value: Any) -> str:
    """Text; nothing that YAML made something else of."""
    # YAML makes numbers, dates and truth of words; what they were before cannot be told any more.
    if not isinstance(value, str):
        raise ValueError("must be text, in quotes")  # noqa: TRY004 - told like any other bad value
    return value


def read_secret(value: Any) -> Secret:
    """Text that is shown nowhere."""
    return Secret(read_text(value))


def read_broker(value: Any) -> Secret:
    """The URL of a Redis, which may hold a password: what is wrong is told without it."""
    try:
        url = urlsplit(read_text(value))
        host, port = url.hostname, url.port
        parse_qsl(url.query, strict_parsing=bool(url.query))
    except ValueError:
        raise ValueError(_NO_BROKER) from None
    behind_socket = url.scheme == "unix" and url.path.startswith("/")
    over_network = url.scheme in ("redis", "rediss") and host and port != 0
    # What stands behind an unescaped / or # of a password would be taken for a database, or for nothing.
    if url.fragment or not (behind_socket or (over_network and re.fullmatch(r"/?|/[0-9]+", url.path))):
        raise ValueError(_NO_BROKER)
    return Secret(str(value))


SECRET_KINDS = (read_secret, read_broker)
"""What reads a value that is shown nowhere."""
_NO_BROKER = "is no redis:// or rediss:// URL (percent-encode / # @ in the password)"


def read_path(value: Any) -> Path:
    """A path; ~ is a home directory."""
    try:
        return Path(read_text(value)).expanduser()
    except RuntimeError as error:
        raise ValueError("there is no such user") from error


def read_count(value: Any) -> int:
    """A whole number from 1 on."""
    try:
        number = int(str(value))
    except ValueError:
        raise ValueError("must be a whole number") from None
    if number < 1:
        raise ValueError("must be 1 or more")
    return number


def read_port(value: Any) -> int:
    """A port."""
    number = read_count(value)
    if number > _LAST_PORT:
        raise ValueError(f"must be {_LAST_PORT} or less")
    return number


def read_boolean(value: Any) -> bool:
    """Truth, by any of its usual names."""
    text = str(value).strip().lower()
    if text not in _SWITCHES:
        raise ValueError("must be true or false")
    return text in ("true", "yes", "on", "1")


def read_words(value: Any) -> tuple[str, ...]:
    """Words, as a list or between commas."""
    parts = value if isinstance(value, list | tuple) else [value]
    return tuple(word for part in parts for word in map(str.strip, read_text(part).split(",")) if word)


def read_pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """A mapping, in YAML or as a JSON object, or KEY=VALUE words."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            raise ValueError("must be KEY=VALUE, or a JSON object") from None
    if isinstance(value, Mapping):
        return tuple((read_text(key), read_text(item)) for key, item in value.items())
    pairs = [word.partition("=") for word in read_words(value)]
    if not all(key and sign for key, sign, _ in pairs):
        raise ValueError("must be KEY=VALUE")
    return tuple({key: item for key, _, item in pairs}.items())


def read_paths(value: Any) -> tuple[Path, ...]:
    """Paths, as words are written."""
    return tuple(map(read_path, read_words(value)))


def read_mirrors(value: Any) -> tuple[tuple[str, str], ...]:
    """A mapping, or REGISTRY=URL words; a URL alone is a mirror of every registry that has none: `*`."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        value = [word if re.match(r"[^/]+=", word) else f"*={word}" for word in read_words(value)]
    pairs = read_pairs(value)
    for _, url in pairs:
        if not re.fullmatch(r"https?://[^/?#]+(/[^?#]*)?", url):
            raise ValueError("a mirror is REGISTRY=http://... or REGISTRY=https://...")
    return pairs


def read_builder(value: Any) -> str:
    """One of BUILDERS."""
    if value not in BUILDERS:
        raise ValueError(f"must be one of {', '.join(BUILDERS)}")
    return str(value)


def read_platforms(value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs whose keys are platforms such as linux/arm64."""
    pairs = read_pairs(value)
    if not all(_PLATFORM.fullmatch(platform) for platform, _ in pairs):
        raise ValueError("must be linux/ARCH=NAME")
    return pairs


def read_places(value: Any) -> tuple[str, ...]:
    """Words that tell packages and architectures apart, so that none is written over another."""
    words = read_words(value)
    if not all("{name}" in word and "{arch}" in word for word in words):
        raise ValueError("must hold {name} and {arch}, or packages would overwrite each other's")
    return words


def read_sbom(value: Any) -> str | None:
    """The image of a generator, or "true" for BuildKit's own; None for none."""
    text = str(value).strip()
    if text.lower() in _SWITCHES:
        return "true" if read_boolean(text) else None
    return read_text(value)


def read_provenance(value: Any) -> str | None:
    """How much to tell, min or max; None for nothing."""
    text = str(value).strip().lower()
    if text in _SWITCHES:
        return "min" if read_boolean(text) else None
    if text not in ("min", "max"):
        raise ValueError("must be min, max or false")
    return text
