"""The command `farm`: its verbs, loaded when called, and how every error is told."""

from __future__ import annotations

import importlib
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from farm import __version__
from farm.cli.error_output import tell
from farm.errors import FarmError, InputError, internal_error

# Verb to the module and the one line that `farm --help` shows, so that help imports no verb.
VERBS: dict[str, tuple[str, str]] = {
    "push": ("farm.cli.push", "Build, publish and sign packages."),
    "build": ("farm.cli.build", "Build packages on this machine, into the LinuxKit cache."),
    "cache": ("farm.cli.cache", "Look into the LinuxKit cache, and move images in and out."),
    "manifest": ("farm.cli.manifest", "Publish and sign the index of images that stand."),
    "plan": ("farm.cli.plan", "Show what a push would do, and why."),
    "show-tag": ("farm.cli.show_tag", "Print the tags of packages."),
    "pkg": ("farm.cli.pkg.group", "What `linuxkit pkg` does, with its flags."),
    "inspect": ("farm.cli.inspect", "Show what stands under a tag, and whether it is signed."),
    "sign": ("farm.cli.sign", "Sign tags by hand."),
    "status": ("farm.cli.status", "Show runs, or one run."),
    "logs": ("farm.cli.logs", "Print the log of a build."),
    "cancel": ("farm.cli.cancel", "End a run, or a part of it."),
    "retry": ("farm.cli.retry", "Do again what of a run failed."),
    "worker": ("farm.cli.worker", "Build for an architecture, or publish."),
    "workers": ("farm.cli.workers", "List the workers, or drain and resume some."),
    "up": ("farm.cli.up", "Keep workers and Flower up on this machine."),
    "down": ("farm.cli.down", "Take down this machine's private farm."),
    "flower": ("farm.cli.flower", "Watch tasks, workers and queues in a browser."),
    "trust": ("farm.cli.trust", "Make signing keys, and prepare names for signing."),
    "doctor": ("farm.cli.doctor", "Check everything that the farm needs."),
    "completion": ("farm.cli.completion", "Print the completion script for a shell."),
}


_LINUXKITS = re.compile(r"--?(cache|mirror|cert-file|quiet|verbose|q|v\d*)(=|$)")
"""The flags that `linuxkit` takes before any verb."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """The options that stand before the verb."""

    config: Path | None
    debug: bool


class Verbs(click.Group):
    """A group whose verbs are imported when they are called."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take before `pkg` what `linuxkit` takes there: `farm --cache DIR pkg build DIR`."""
        if args and _LINUXKITS.match(args[0]):
            from farm.cli.pkg.flag_spelling import pkg_first  # noqa: PLC0415
            from farm.cli.pkg.flags import ROOT  # noqa: PLC0415 - rarely, and start-up time counts

            args = pkg_first(args, ROOT)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All verbs, in the order in which a newcomer meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The verb itself."""
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(VERBS[cmd_name][0])
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, about) for name, (_, about) in VERBS.items()])


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="farm")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file; else ./farm.yml, ~/.config/farm/farm.yml.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, config: Path | None, debug: bool) -> None:
    """Build LinuxKit packages on every architecture, and publish each as one signed index.

    \b
    farm plan pkg/foo    what would be done, and why
    farm push --all pkg  build, publish, sign all below pkg; on this machine alone if no broker is set
    farm status -f       follow the newest run

    Settings come from farm.yml, then FARM_* variables, then flags; each beats the one before.
    Exit codes: 0 done, 1 something failed, 2 wrong input, 3 a service cannot be reached,
    4 a login, key or signature was refused, 130 interrupted.
    """
    ctx.obj = Invocation(config, debug)


def main() -> None:
    """Run the command and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run the command; every error ends as one line on standard error and its exit code."""
    try:
        code: Any = cli.main(arguments, prog_name="farm", standalone_mode=False)
    except FarmError as error:
        return _tell(error, error.exit_code, arguments)
    except click.ClickException as error:
        _print_error(InputError(error.format_message()), arguments)
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("farm: interrupted", err=True)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except Exception as error:  # noqa: BLE001 - the last resort: a defect is told like any other error
        return _tell(error, 1, arguments)
    return code if isinstance(code, int) else 0


def _tell(error: Exception, code: int, arguments: list[str]) -> int:
    if "--debug" in arguments:
        import traceback  # noqa: PLC0415 - only here, and start-up time counts

        traceback.print_exception(error)
    if not isinstance(error, FarmError):
        error = internal_error(error, hint="add --debug for the traceback")
    _print_error(error, arguments)
    tell(error)
    return code


def _print_error(error: FarmError, arguments: list[str]) -> None:
    """Give a program the error on standard output, where it looks for the answer."""
    if "--json" in arguments:
        import json  # noqa: PLC0415 - only here, and start-up time counts

        click.echo(json.dumps({"error": error.to_json()}, indent=2, ensure_ascii=False))
