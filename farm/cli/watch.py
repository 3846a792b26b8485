"""farm watch: publish what new commits of a repository lack, and build its pull requests."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from farm.cli.options import with_settings
from farm.cli.output import print_warning, say
from farm.errors import FarmError, InputError, SettingsError, StateError
from farm.syntax.quantities import read_seconds
from farm.syntax.setting_types import read_port
from farm.system.files import make_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.settings import Settings
    from farm.watch.forge import Forge, ForgeKind
    from farm.watch.handle_head import HeadHandler, Options
    from farm.watch.webhooks import WebhookServer

T = TypeVar("T")

_LOOPBACK = "127.0.0.1"
_OWN = ("FARM_FORGE_TOKEN", "FARM_WEBHOOK_SECRET")


@click.command("watch")
@click.argument("repository", metavar="REPO")
@click.argument("paths", nargs=-1, metavar="[DIR]...")
@with_settings("policy", "state_dir")
@click.option("--branch", "branches", multiple=True, metavar="NAME", help="Branch to publish. Default: main.")
@click.option("--every", default="60s", show_default=True, metavar="TIME", help="Time between two looks.")
@click.option("--webhook", metavar="[ADDRESS:]PORT", help="Listen for webhooks. Default address: 127.0.0.1.")
@click.option(
    "--forge",
    type=click.Choice(["github", "gitlab", "gitea", "none"]),
    help="What hosts REPO; known for github.com, gitlab.com and codeberg.org.",
)
@click.option(
    "--forge-url", metavar="URL", help="Where the forge is. Default: https:// and the host of REPO."
)
@click.option("--pull-requests", is_flag=True, help="Build pull requests on this machine; publish nothing.")
@click.option("--platforms", metavar="PLATFORM,...", help="What to build them for. Default: this machine's.")
@click.option("--link", default="", metavar="URL", help="Link of a status, with {run} and {commit}.")
@click.pass_context
def command(
    ctx: click.Context,
    settings: Settings,
    repository: str,
    paths: tuple[str, ...],
    branches: tuple[str, ...],
    every: str,
    webhook: str | None,
    forge: str | None,
    forge_url: str | None,
    pull_requests: bool,
    platforms: str | None,
    link: str,
) -> int:
    """Push what each new commit of a repository lacks, until SIGTERM or Ctrl-C.

    Publishes commits of a branch that the forge protects, and others that a maintainer of the policy has
    signed. Builds pull requests from branches of REPO itself, and others that a maintainer has signed.
    Reports commit statuses to the forge, with forge-token. DIRs are the directories below which the
    packages are; default: all.

    \b
    farm watch https://github.com/linuxkit/linuxkit pkg tools --branch master
    farm watch git@git.example.org:me/os --forge gitea --webhook 8080 --pull-requests
    """
    from farm.syntax.log_format import log_to_stderr
    from farm.watch.handle_head import Options

    if settings.broker is None:
        raise SettingsError("farm watch needs a farm that stays: no broker is set", hint="set FARM_BROKER")
    name = hashlib.sha256(repository.encode()).hexdigest()[:16]
    options = Options(
        branches or ("main",),
        _checked(paths or (".",)),
        pull_requests=pull_requests,
        platforms=platforms,
        link=link,
        name=name,
    )
    for branch in options.branches:
        if branch.startswith(("refs/", "-")):
            raise InputError(f"--branch {branch}: must be the name of a branch, such as main")
    log_to_stderr()
    kind, client = _forge(settings, repository, forge, forge_url)
    if pull_requests and client is None:
        raise InputError("--pull-requests needs a forge", hint="name it: --forge")
    config = ("--config", str(Path(ctx.obj.config).absolute())) if ctx.obj.config else ()
    seconds = _read("--every", read_seconds, every)
    return _watch(settings, repository, options, client, config, _webhook(webhook, kind, settings), seconds)


def _read(flag: str, read: Callable[[str], T], text: str) -> T:
    """The value of a flag, or an error that names it."""
    try:
        return read(text)
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from None


def _checked(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Directories within the repository."""
    for path in paths:
        if path.startswith(("/", "-")) or ".." in Path(path).parts:
            raise InputError(f"{path}: must be a directory within the repository, such as pkg")
    return paths


def _forge(
    settings: Settings, repository: str, name: str | None, url: str | None
) -> tuple[ForgeKind | None, Forge | None]:
    """The kind and the client of the repository's forge, if it has one."""
    from farm.syntax.setting_types import has_password
    from farm.watch.forge import ForgeKind, Project, kind_of, make_forge

    if has_password(repository):
        raise SettingsError(
            "REPO: has a password, which every user of this machine sees in the list of processes",
            hint="set forge-token, or let git's credential helper know it",
        )
    try:
        project = Project.of(repository, url)
    except InputError:
        if name not in (None, "none"):
            raise
        project = None
    kind = None
    if project and name != "none":
        kind = ForgeKind(name) if name else kind_of(project)
    if kind is None and settings.policy is None:
        raise InputError(
            f"{repository}: no commit of it may be built, since neither a forge nor a policy says which",
            hint="name the forge, which protects the branch: --forge; or set policy, for signed commits",
        )
    return kind, make_forge(kind, project, settings.forge_token) if kind and project else None


def _webhook(where: str | None, kind: ForgeKind | None, settings: Settings) -> WebhookServer | None:
    """The server for webhooks, which is bound and not yet served."""
    from farm.watch.webhooks import WebhookServer

    if where is None:
        return None
    if kind is None or settings.webhook_secret is None:
        raise InputError(
            "--webhook needs a forge, and the secret that its requests are signed with",
            hint="--forge, and FARM_WEBHOOK_SECRET or webhook-secret-file",
        )
    address, _, text = where.rpartition(":")
    port = _read("--webhook", read_port, text)
    try:
        return WebhookServer((address or _LOOPBACK, port), kind, settings.webhook_secret)
    except OSError as error:
        raise FarmError(f"--webhook: cannot listen at {where}: {error.strerror or error}") from error


def _variables(settings: Settings) -> dict[str, str]:
    """The environment of the commands: without what only the watch needs, with what its flags have set."""
    from farm.settings import environment

    kept = {name: value for name, value in environment().items() if not name.startswith(_OWN)}
    policy = {"FARM_POLICY": str(settings.policy.absolute())} if settings.policy else {}
    return kept | policy | {"FARM_STATE_DIR": str(settings.state_dir.absolute())}


def _watch(
    settings: Settings,
    repository: str,
    options: Options,
    forge: Forge | None,
    config: tuple[str, ...],
    server: WebhookServer | None,
    every: float,
) -> int:
    from farm.system.locks import locked
    from farm.watch.watcher import Watcher

    if forge and settings.forge_token is None:
        print_warning("no forge-token is set: commit statuses are not reported")
    directory = settings.state_dir.absolute() / "watch" / options.name
    make_private(directory)
    busy = StateError(
        f"another farm watch of {repository} runs with the state directory {settings.state_dir}"
    )
    with locked(directory / "lock", timeout=0, busy=busy):
        watcher = Watcher(_head_handler(settings, repository, options, forge, config, directory), every)
        if server:
            server.wake = watcher.wake
            threading.Thread(target=server.serve_forever, daemon=True).start()
            say(f"webhooks: http://{server.where}")
        say(f"watching {', '.join(options.branches)} of {repository}")
        try:
            watcher.run()
        except KeyboardInterrupt:
            # Like other services: what was asked to end has not failed.
            return 0
    return 0


def _head_handler(
    settings: Settings,
    repository: str,
    options: Options,
    forge: Forge | None,
    config: tuple[str, ...],
    directory: Path,
) -> HeadHandler:
    from farm.trust.policy_file import PolicyFile
    from farm.watch.children import Children
    from farm.watch.clone import Clone
    from farm.watch.farm_commands import FarmCommands
    from farm.watch.handle_head import HeadHandler
    from farm.watch.handled_heads import HandledHeads

    policy = PolicyFile(settings.policy) if settings.policy else None
    if policy:
        # An error in it is better found now than with the first commit.
        policy.current()
    children = Children()
    return HeadHandler(
        options,
        settings,
        directory,
        Clone(directory, repository, children, settings.forge_token),
        HandledHeads(directory / "heads.json"),
        FarmCommands(children, _variables(settings), Path.cwd(), config),
        forge,
        reports=settings.forge_token is not None,
        policy=policy,
    )
