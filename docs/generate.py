"""Write the pages that are made from the code: `make docs`.

These are docs/commands.md, config/farm.yml, the farm's users in config/redis/users.acl, and the packages and
states in docs/architecture.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from docs.commands import commands_page
from docs.packages import with_packages
from docs.states import with_states
from farm.scheduling.access import user_rule
from farm.settings import FIELDS, FROM_REPOSITORY
from farm.state.redis_checks import USERS
from farm.syntax.quantities import format_bytes

ROOT = Path(__file__).resolve().parent.parent

_DURATIONS = (("d", 86400), ("h", 3600), ("m", 60))


def pages() -> dict[Path, str]:
    """Every file that is made, as it should be."""
    architecture, settings = ROOT / "docs" / "architecture.md", ROOT / "config" / "farm.yml"
    users = ROOT / "config" / "redis" / "users.acl"
    return {
        ROOT / "docs" / "commands.md": commands_page({name: default(name) for name in FIELDS}),
        settings: farm_yml(settings.read_text()),
        users: users_acl(users.read_text()),
        architecture: with_states(with_packages(architecture.read_text(), ROOT / "farm")),
    }


def farm_yml(text: str) -> str:
    """config/farm.yml under its own head: each setting with its sentence and its default, commented out."""
    head, _, _ = text.partition("\n\n")
    return "\n".join([f"{head}\n", *(_entry(name) for name in FIELDS)])


def users_acl(text: str) -> str:
    """config/redis/users.acl under its own head: the users with the rights of their roles."""
    head, explained, _ = text.partition("which explains it.\n")
    return "\n".join([f"{head}{explained}", *(f"{user_rule(user, f'#{{{user}}}')}\n" for user in USERS)])


def _entry(name: str) -> str:
    about, also = FIELDS[name].metadata["about"], FIELDS[name].metadata["also"]
    more = f" Also read from {also}." if also else ""
    more += " A repository's ./farm.yml may set it." if name in FROM_REPOSITORY else ""
    line = f"{name.replace('_', '-')}: {default(name)}".rstrip()
    return f"# {about[0].upper()}{about[1:]}.{more}\n# {line}\n"


def default(name: str) -> str:
    """A setting's default as one would write it in farm.yml; empty where it has none."""
    value: Any = FIELDS[name].default
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    if isinstance(value, Path):
        return f"~/{value.relative_to(Path.home())}" if value.is_relative_to(Path.home()) else str(value)
    if FIELDS[name].type == "Size":
        return format_bytes(value).replace(" ", "")
    return duration(value) if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """Seconds in the largest unit of which they are two or more: 4h, 60s."""
    for unit, size in _DURATIONS:
        if seconds >= 2 * size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def main() -> None:
    """Write every page that is not as it should be."""
    for path, text in pages().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
