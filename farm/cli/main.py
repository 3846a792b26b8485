"""The command `farm`: its verbs, imported when called, and how every error is reported."""

from __future__ import annotations

import gc
import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from farm import __version__
from farm.cli.output import print_bytes, print_error, print_json, say
from farm.cli.process_start import discard_output, prepare_process, received
from farm.errors import FarmError, InputError, OutputError, ReaderGoneError, internal_error

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALLOCATIONS = 100_000
"""Twice what stays of the imports of `farm plan`."""

VERBS: dict[str, tuple[str, str]] = {
    "push": ("farm.cli.push:push", "Build, publish and sign packages."),
    "build": ("farm.cli.build", "Build packages on this machine, into the LinuxKit cache."),
    "cache": ("farm.cli.cache", "Manage the images in the LinuxKit cache."),
    "manifest": ("farm.cli.push:manifest", "Publish and sign indexes of existing images."),
    "plan": ("farm.cli.push:plan", "Show what a push would do, and why."),
    "graph": ("farm.cli.graph:graph", "Show which packages of a tree use which others."),
    "bump": ("farm.cli.bump:bump", "Rewrite references to packages whose tags have changed."),
    "show-tag": ("farm.cli.tags:show_tag", "Print the tags of packages."),
    "pkg": ("farm.cli.pkg.verbs:pkg", "Run the commands of `linuxkit pkg`, with its flags."),
    "inspect": ("farm.cli.tags:inspect", "Show what a tag refers to, and whether it is signed."),
    "verify": ("farm.cli.verify:verify", "Check that tags hold what the policy demands."),
    "sign": ("farm.cli.trust:sign", "Sign tags."),
    "status": ("farm.cli.runs:status", "List runs, or show one run."),
    "logs": ("farm.cli.runs:logs", "Print the log of a build."),
    "cancel": ("farm.cli.runs:cancel", "Cancel a run, or a part of it."),
    "retry": ("farm.cli.runs:retry", "Retry what failed in a run."),
    "watch": ("farm.cli.watch", "Push what new commits lack, and build pull requests."),
    "worker": ("farm.cli.workers:worker", "Run a worker, which builds or publishes."),
    "workers": ("farm.cli.workers:list_workers", "List, drain and resume workers."),
    "up": ("farm.cli.up:up", "Run workers and Flower on this machine."),
    "down": ("farm.cli.up:down", "Stop the private farm of this machine."),
    "flower": ("farm.cli.up:flower", "Run Flower, a web page of tasks, workers and queues."),
    "trust": ("farm.cli.trust:trust", "Create signing keys, and prepare names for signing."),
    "policy": ("farm.cli.policy:policy", "Say who may order what, and which keys build."),
    "doctor": ("farm.cli.doctor", "Check everything that the farm needs."),
    "completion": ("farm.cli.main:completion", "Print a shell completion script."),
}

_INTERRUPTED = 130
"""The exit code after Ctrl-C."""
_LINUXKIT_FLAG = r"--?(cache|mirror|cert-file|quiet|verbose|q|v\d*)(=|$)"
"""The flags that `linuxkit` takes before any verb."""


@dataclass(slots=True)
class Invocation:
    """One run of the command `farm`: what click passes to every verb as `ctx.obj`."""

    config: Path | None = None
    debug: bool = False
    json: bool = False
    """Whether the verb was called with --json."""


class GroupWithHelp(click.Group):
    """Verbs, and `help`: `farm pkg help build` is `farm pkg build --help`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read `help VERB` as `VERB --help`."""
        return super().parse_args(ctx, [*args[1:], "--help"] if args[:1] == ["help"] else args)


class LazyGroup(GroupWithHelp):
    """Import a verb when it is called; --help imports none."""

    verbs: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Verb to its MODULE or MODULE:COMMAND, and the line that --help shows."""
    aliases: ClassVar[Mapping[str, str]] = {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All verbs, in the order in which --help lists them."""
        return list(self.verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb itself; None where there is no such verb."""
        name = self.aliases.get(cmd_name, cmd_name)
        if name not in self.verbs:
            return None
        module, _, attribute = self.verbs[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute or "command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in self.verbs.items()])


class FarmGroup(LazyGroup):
    """The verbs of `farm`; the flags of `linuxkit` may precede `pkg` and `cache`."""

    verbs = VERBS

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move the flags of `linuxkit` behind the verb: `farm --cache DIR pkg build DIR`."""
        if args and re.match(_LINUXKIT_FLAG, args[0]):
            from farm.cli.pkg.flag_spelling import move_flags_after_verb
            from farm.cli.pkg.root_flags import ROOT_FLAGS

            moved = move_flags_after_verb(args, ROOT_FLAGS)
            args = moved if moved[:1] in (["pkg"], ["cache"]) else args
        return super().parse_args(ctx, args)


@click.group(
    cls=FarmGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="farm")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file, in place of ~/.config/farm/farm.yml and ./farm.yml.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, debug: bool) -> None:
    """Build LinuxKit packages on every architecture, and publish each as one signed index.

    \b
    farm plan pkg/foo    show what a push would do, and why
    farm push --all pkg  build, publish and sign all packages below pkg
    farm status -f       follow the newest run

    Without a broker, a push runs on a private farm on this machine.
    Flags override FARM_* variables, which override farm.yml.
    Exit codes: 0 done, 1 something failed, 2 wrong input, 3 a service cannot be reached,
    4 a login, key or signature was refused, 130 interrupted, 129 and 143 ended by SIGHUP and SIGTERM.
    """
    ctx.obj.config, ctx.obj.debug = config, debug


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell. To load it: eval "$(farm completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"unknown shell {shell}")
    print_bytes(f"{kind(cli, {}, 'farm', '_FARM_COMPLETE').source()}\n".encode())


def main() -> None:
    """Run the command and end the process with its exit code."""
    # Imports allocate much and free nothing; collecting cycles meanwhile, and once more at the exit, takes a
    # tenth of a short command. Long ones still collect, less often.
    gc.set_threshold(_ALLOCATIONS, 10, 10)
    prepare_process()
    code = run(sys.argv[1:])
    gc.freeze()
    # What Ctrl-C ends with an error, another signal ends with its own code, as a shell reports it.
    sys.exit(128 + received[0] if received and code == _INTERRUPTED else code)


def run(arguments: list[str]) -> int:
    """Run the command; every error ends as one line on standard error and its exit code."""
    invocation = Invocation()
    try:
        code: Any = cli.main(arguments, prog_name="farm", standalone_mode=False, obj=invocation)
        sys.stdout.flush()
    except ReaderGoneError:
        discard_output()
        return 1
    except FarmError as error:
        return _report(error, error, invocation)
    except click.ClickException as error:
        # click stops at the first wrong argument, and may not have reached --json.
        invocation.json = invocation.json or "--json" in arguments
        _print_json_error(InputError(error.format_message()), invocation)
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        say("farm: interrupted", err=True)
        return _INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the last resort: an internal error is reported like any other
        return _report(internal_error(error, hint="add --debug for the traceback"), error, invocation)
    return code if isinstance(code, int) else 0


def _report(error: FarmError, raised: Exception, invocation: Invocation) -> int:
    """Print an error as the flags ask for it; returns its exit code."""
    if invocation.debug:
        import traceback

        traceback.print_exception(raised)
    _print_json_error(error, invocation)
    print_error(error)
    return error.exit_code


def _print_json_error(error: FarmError, invocation: Invocation) -> None:
    """With --json, print the error on standard output too, where a program reads the result."""
    if isinstance(error, OutputError):
        discard_output()
    elif invocation.json:
        try:
            print_json({"error": error.to_json()})
        except OutputError:
            discard_output()
