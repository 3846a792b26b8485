"""Handle one head: build or publish it if that is allowed, record each step, and report it to the forge."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.errors import (
    CancelledError,
    FarmError,
    ForgeDeniedError,
    ForgeError,
    InputError,
    NotAllowedError,
    PolicyError,
    RunInterruptedError,
    TrustDeniedError,
)
from farm.trust.policy import Policy
from farm.watch.allowed import signer
from farm.watch.build_pull_request import build, commands_without_secrets
from farm.watch.handled_heads import Handled
from farm.watch.heads import Head, Outcome, Status, branch_ref
from farm.watch.publish_branch import is_final, publish, work

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farm.settings import Settings
    from farm.trust.policy import Maintainer
    from farm.trust.policy_file import PolicyFile
    from farm.watch.clone import Clone
    from farm.watch.farm_commands import FarmCommands
    from farm.watch.forge import Forge
    from farm.watch.handled_heads import HandledHeads

log = logging.getLogger(__name__)

_MOST_ATTEMPTS = 3
"""Of a pull request, whose author may have made it fail."""


class ReplacedError(FarmError):
    """The ref has another commit by now, or does not have the one that the forge names yet."""


@dataclass(frozen=True, slots=True)
class Options:
    """What is watched, and how."""

    branches: tuple[str, ...]
    paths: tuple[str, ...] = (".",)
    """Directories of the repository below which packages are."""
    pull_requests: bool = False
    platforms: str | None = None
    """What pull requests are built for, as `farm build --platforms` takes it."""
    link: str = ""
    """URL of a run, with {run} and {commit}."""
    name: str = ""
    """Of the repository, in the keys of its runs."""


@dataclass(frozen=True, slots=True)
class HeadHandler:
    """What it takes to handle any head of a repository, from any thread; one head of a ref at a time."""

    options: Options
    settings: Settings
    directory: Path
    """Of this watch, for temporary files."""
    clone: Clone
    handled: HandledHeads
    commands: FarmCommands
    forge: Forge | None = None
    reports: bool = False
    """Whether the forge is to know."""
    policy: PolicyFile | None = None

    def carry_out(self, head: Head) -> None:
        """Do what is left to do for a head.

        Raises:
            ReplacedError: the ref has another commit.
            NotAllowedError: it may not be built, unless policy or forge change.
            CancelledError: the watch ends.
            FarmError: it failed for now; the same call may succeed later.
        """
        handled = self._begin(head)
        if not handled.done:
            handled = self._record(head, self._outcome(head, handled), done=True)
        self._report(head, handled)

    def _begin(self, head: Head) -> Handled:
        """The record of a head: of a new one a new record, which is stored before anything is submitted."""
        known = self.handled.of(head.ref)
        if known and known.commit == head.commit:
            return known
        handled = Handled(head.commit, number=known.number + 1 if known else 1)
        self.handled.record(head.ref, handled)
        if known:
            self._close(replace(head, commit=known.commit), known, by=head)
        return handled

    def _close(self, old: Head, handled: Handled, *, by: Head) -> None:
        """Report the last of a head that was replaced, once: nobody looks at it again."""
        if not handled.done and handled.outcome == Outcome.PENDING:
            status = Status(Outcome.ERROR, f"replaced by {by.commit[:12]} before it was done", handled.link)
            handled = handled.with_status(status, done=True)
        try:
            if self.forge and self.reports and handled.status and not handled.reported:
                self.forge.report(old, handled.status)
        except FarmError as error:
            log.warning("%s: the status was not reported: %s", old, error)

    def _outcome(self, head: Head, handled: Handled) -> Status:
        """Build or publish a head; an error that may pass is raised, after it was reported."""
        try:
            return self._handle_allowed(head, handled)
        except (CancelledError, ReplacedError):
            raise
        except NotAllowedError as error:
            # A person must act: by another commit, in the policy, or on the forge.
            outcome = Outcome.PENDING if head.pull_request else Outcome.FAILURE
            self._report_progress(head, Status(outcome, f"not built: {error}"))
            raise
        except FarmError as error:
            if is_final(error):
                return Status(Outcome.FAILURE, str(error))
            if isinstance(error, RunInterruptedError):
                if head.pull_request and handled.attempt >= _MOST_ATTEMPTS:
                    return Status(Outcome.FAILURE, str(error))
                known = self.handled.of(head.ref) or handled
                self.handled.record(head.ref, replace(known, attempt=handled.attempt + 1))
            self._report_progress(head, Status(Outcome.ERROR, str(error)))
            raise

    def _handle_allowed(self, head: Head, handled: Handled) -> Status:
        maintainer = self._who_allows(head)
        _require_same(self.clone.fetch(head.ref), head)
        if head.pull_request:
            return self._build(head)
        return self._publish(head, handled, maintainer)

    def _build(self, head: Head) -> Status:
        """Build a pull request, without publishing anything."""
        platforms, settings = self.options.platforms, self.settings
        flags = ("--platforms", platforms) if platforms else ()
        base = self.clone.fetch(branch_ref(head.base), into=head.base_place)
        with (
            self.clone.checked_out(head.base_place, base) as before,
            self.clone.checked_out(head.ref, head.commit) as after,
            commands_without_secrets(self.commands.children, self.directory / "builds", settings) as commands,
        ):
            own, known = self._below(after), self._below(before)
            return build(commands, own, known, flags, settings.build_timeout)

    def _publish(self, head: Head, handled: Handled, maintainer: Maintainer | None) -> Status:
        with self.clone.checked_out(head.ref, head.commit) as checkout:
            if missing := [path for path in self.options.paths if not _is_within(checkout, path)]:
                raise InputError(f"the commit has no directory {', '.join(missing)}")
            return self._publish_below(head, handled, maintainer, self._below(checkout))

    def _publish_below(
        self, head: Head, handled: Handled, maintainer: Maintainer | None, places: Sequence[str]
    ) -> Status:
        words = ["--all", *places]
        if maintainer:
            words, names = work(self.commands, words)
            self._require_may_order(maintainer, names)
            if not words:
                return Status(Outcome.SUCCESS, "packages published: all (nothing to do)")
        key = f"watch {self.options.name} {head.ref} {handled.number} {head.commit} {handled.attempt}"

        def report(run: str, text: str) -> None:
            known = self.handled.of(head.ref) or handled
            if known.run != run:
                self.handled.record(head.ref, replace(known, run=run))
                self._report_progress(head, Status(Outcome.PENDING, text, self._link(run, head)))

        return publish(self.commands, words, key, report)

    def _below(self, checkout: Path) -> list[str]:
        return [str(checkout / path) for path in self.options.paths if _is_within(checkout, path)]

    def _who_allows(self, head: Head) -> Maintainer | None:
        """The maintainer who signed a commit; None if it needs no signature.

        Raises:
            NotAllowedError: the commit may not be built.
        """
        if head.source and self._is_own(head):
            return None
        unknown: FarmError | None = None
        if not head.pull_request and self.forge:
            try:
                if self.forge.is_protected(head.name):
                    return None
            except ForgeError as error:
                # A signature does without the forge.
                unknown = error
        policy = self.policy.current() if self.policy else Policy()
        commit, content = self.clone.look_at(head.ref)
        _require_same(commit, head)
        try:
            return signer(content, policy)
        except TrustDeniedError as error:
            if unknown:
                raise unknown from error
            what = "is from a fork" if head.pull_request else "is not protected by the forge"
            raise NotAllowedError(f"{head.name} {what}, and {error.message}", hint=error.hint) from error

    def _is_own(self, head: Head) -> bool:
        """Whether a pull request is what a branch of the repository itself has: only members can push there.

        What a forge says is not enough: Gitea names the repository itself as the source of one that anybody
        pushed to refs/for/.
        """
        source = branch_ref(head.source)
        return self.clone.newest([source]).get(source) == head.commit

    def _require_may_order(self, maintainer: Maintainer, names: Sequence[str]) -> None:
        """Make sure that who signed a commit may order what it changes: the watch's own key may more."""
        policy = self.policy.current() if self.policy else Policy()
        try:
            policy.may_order(maintainer, names, release=False, at=time.time())
        except PolicyError as error:
            raise NotAllowedError(error.message, hint=error.hint) from error

    def _link(self, run: str, head: Head) -> str:
        return self.options.link.replace("{run}", run).replace("{commit}", head.commit)

    def _record(self, head: Head, status: Status, *, done: bool) -> Handled:
        known = self.handled.of(head.ref) or Handled(head.commit)
        newer = known.with_status(replace(status, link=status.link or known.link), done=done)
        newer = newer if self.reports else replace(newer, reported=True)
        self.handled.record(head.ref, newer)
        if newer != known and status.outcome is not Outcome.ERROR:
            log.info("%s: %s: %s", head, status.outcome, status.text)
        return newer

    def _report_progress(self, head: Head, status: Status) -> None:
        """Record and report a status on the way; a forge that does not answer must not stop the work."""
        newer = self._record(head, status, done=False)
        try:
            self._report(head, newer)
        except FarmError as error:
            log.warning("%s: the status was not reported: %s", head, error)

    def _report(self, head: Head, handled: Handled) -> None:
        """Report a status that the forge does not know; one that it refuses for good counts as reported."""
        if handled.reported or not self.reports or not self.forge or not handled.status:
            return
        try:
            self.forge.report(head, handled.status)
        except ForgeDeniedError:
            raise
        except ForgeError as error:
            if error.retryable:
                raise
            log.warning("%s: the forge does not take the status: %s", head, error)
        self.handled.record(head.ref, replace(handled, reported=True))


def _is_within(checkout: Path, path: str) -> bool:
    """Whether a checkout has a directory, which is no link to another place of this machine."""
    found = checkout / path
    return found.is_dir() and found.resolve().is_relative_to(checkout.resolve())


def _require_same(found: str, head: Head) -> None:
    if found != head.commit:
        raise ReplacedError(f"its newest commit is {found[:12]}")
