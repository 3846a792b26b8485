"""The types of settings: for each, the function that reads it from YAML, a variable or a flag."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

_LAST_PORT = 65535
_BOOLEANS = ("true", "yes", "on", "1", "false", "no", "off", "0")
_HOST = r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?"
_PLATFORM = r"linux/[a-z0-9]+"
_KEY_URI = r"[a-z0-9]+://|pkcs11:"
SIGNERS = ("cosign", "notary")
BUILDERS = ("auto", "engine", "buildx")


class Secret:
    """A string that no repr, log or JSON shows; only `reveal()` returns it."""

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
    """Text; a value that YAML read as a number, date or boolean is refused, because its text is lost."""
    if not isinstance(value, str):
        raise ValueError("must be text, in quotes")  # noqa: TRY004 - reported like any other invalid value
    return value


def read_secret(value: Any) -> Secret:
    """Text that is not shown."""
    return Secret(read_text(value))


def read_broker(value: Any) -> Secret:
    """The URL of a Redis; it may hold a password, so that errors do not show it."""
    try:
        url = urlsplit(read_text(value))
        host, port = url.hostname, url.port
        parse_qsl(url.query, strict_parsing=bool(url.query))
    except ValueError:
        raise ValueError(_INVALID_BROKER) from None
    behind_socket = url.scheme == "unix" and url.path.startswith("/")
    over_network = url.scheme in ("redis", "rediss") and host and port != 0
    # After an unescaped / or # in a password, the rest would be read as a database, or as a fragment.
    if url.fragment or not (behind_socket or (over_network and re.fullmatch(r"/?|/[0-9]+", url.path))):
        raise ValueError(_INVALID_BROKER)
    return Secret(str(value))


def read_key_text(value: Any) -> Secret:
    """A key in PEM: a secret of several lines."""
    return read_secret(value)


SECRET_READERS = (read_secret, read_key_text, read_broker)
"""The functions whose values are not shown."""
HIDDEN = "***"
_LOGIN = r"(?<=://)[^/?#]*@"
_INVALID_BROKER = "must be a redis:// or rediss:// URL (percent-encode / # @ in the password)"


def has_password(url: str) -> bool:
    """Whether a URL holds a password, before its host or among its options."""
    login = re.search(_LOGIN, url)
    return bool(login and ":" in login[0]) or "password" in dict(parse_qsl(url.partition("?")[2]))


def without_login(url: str) -> str:
    """A URL without user and password."""
    return re.sub(_LOGIN, f"{HIDDEN}@", url)


def without_logins(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Pairs whose values are URLs, without users and passwords."""
    return tuple((key, without_login(url)) for key, url in pairs)


def hide_values(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    """Pairs without their values."""
    return tuple((key, HIDDEN) for key, _ in pairs)


def hide_all(_: Any) -> str:
    """Nothing of a value."""
    return HIDDEN


def below_home(path: str, home: str | None = None) -> Path:
    """A path in the user's home directory, which is / for a user who has none, as a container's may be.

    `home` is $HOME, if it is known already.
    """
    try:
        return Path(home or Path.home(), path)
    except RuntimeError:
        return Path("/", path)


def read_path(value: Any) -> Path:
    """A path; ~ is expanded."""
    text = read_text(value)
    if text == "~" or text.startswith("~/"):
        return below_home(text[1:].lstrip("/"))
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError("no such user") from error


def read_key(value: Any) -> Path | str:
    """The file of a key, or the URI by which another program finds it."""
    text = read_text(value)
    return text if re.match(_KEY_URI, text) else read_path(text)


def read_count(value: Any) -> int:
    """A whole number, 1 or more."""
    try:
        number = int(str(value))
    except ValueError:
        raise ValueError("must be a whole number") from None
    if number < 1:
        raise ValueError("must be 1 or more")
    return number


def read_port(value: Any) -> int:
    """A port number."""
    number = read_count(value)
    if number > _LAST_PORT:
        raise ValueError(f"must be {_LAST_PORT} or less")
    return number


def read_boolean(value: Any) -> bool:
    """A boolean: true, yes, on, 1, false, no, off or 0."""
    text = str(value).strip().lower()
    if text not in _BOOLEANS:
        raise ValueError("must be true or false")
    return text in ("true", "yes", "on", "1")


def read_words(value: Any) -> tuple[str, ...]:
    """Words, as a list or comma-separated."""
    parts = value if isinstance(value, list | tuple) else [value]
    return tuple(word for part in parts for word in map(str.strip, read_text(part).split(",")) if word)


def read_pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """A mapping in YAML, a JSON object, or KEY=VALUE words."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        import json  # noqa: PLC0415 - commands start faster without it

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
    """Paths, as a list or comma-separated."""
    return tuple(map(read_path, read_words(value)))


def read_mirrors(value: Any) -> tuple[tuple[str, str], ...]:
    """A mapping, or REGISTRY=URL words; a URL alone is for all registries without a mirror (`*`)."""
    if isinstance(value, str) and not value.lstrip().startswith("{"):
        value = [word if re.match(r"[^/]+=", word) else f"*={word}" for word in read_words(value)]
    pairs = read_pairs(value)
    for _, url in pairs:
        if not re.fullmatch(r"https?://[^/?#]+(/[^?#]*)?", url):
            raise ValueError("must be REGISTRY=http://... or REGISTRY=https://...")
    return pairs


def read_realms(value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs of registries and the hosts of their token services."""
    pairs = read_pairs(value)
    if not all(re.fullmatch(_HOST, word) for pair in pairs for word in pair):
        raise ValueError("must be REGISTRY=HOST or REGISTRY=HOST:PORT, without https://")
    return pairs


def read_notary(value: Any) -> str:
    """The URL of a notary server; a login in it would be in the command line of notary."""
    url = read_text(value)
    if without_login(url) != url:
        raise ValueError("must have no login: it is that of the registry, as of `docker login`")
    return url


def read_builder(value: Any) -> str:
    """One of BUILDERS."""
    if value not in BUILDERS:
        raise ValueError(f"must be one of {', '.join(BUILDERS)}")
    return str(value)


def read_signers(value: Any) -> tuple[str, ...]:
    """Some of SIGNERS, as a list or comma-separated."""
    words = tuple(dict.fromkeys(read_words(value)))
    if not set(words) <= set(SIGNERS):
        raise ValueError(f"must be some of {', '.join(SIGNERS)}")
    return words


def read_platforms(value: Any) -> tuple[tuple[str, str], ...]:
    """Pairs whose keys are platforms such as linux/arm64."""
    pairs = read_pairs(value)
    if not all(re.fullmatch(_PLATFORM, platform) for platform, _ in pairs):
        raise ValueError("must be linux/ARCH=NAME")
    return pairs


def read_cache_names(value: Any) -> tuple[str, ...]:
    """Words that hold {name} and {arch}: every build writes a cache of its own."""
    words = read_words(value)
    if not all("{name}" in word and "{arch}" in word for word in words):
        raise ValueError("must contain {name} and {arch}, or builds would overwrite each other's cache")
    return words


def read_sbom(value: Any) -> str | None:
    """The image of a generator, or "true" for BuildKit's own; None for no SBOM."""
    text = str(value).strip()
    if text.lower() in _BOOLEANS:
        return "true" if read_boolean(text) else None
    return read_text(value)


def read_provenance(value: Any) -> str | None:
    """The level of detail, min or max; None for no provenance."""
    text = str(value).strip().lower()
    if text in _BOOLEANS:
        return "min" if read_boolean(text) else None
    if text not in ("min", "max"):
        raise ValueError("must be min, max or false")
    return text
