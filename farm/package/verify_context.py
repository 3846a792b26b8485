"""Build contexts as workers verify them: what was unpacked must hash to what the tag names."""

from __future__ import annotations

import re
from typing import IO, TYPE_CHECKING

from farm.errors import ContextError, InputError
from farm.package.context_entries import check_entries
from farm.package.tags import render_tag
from farm.package.tarball import read_entries
from farm.package.tree_hash import context_hash

if TYPE_CHECKING:
    from farm.model import Job

_HASH_WITHIN = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])")


def verify_context(tar: IO[bytes], job: Job) -> None:
    """Check that a context is what the tag of its job names; reads it once, to its end.

    Every git hash in the tag, and the job's hash if it is one, must be the hash of the content. If neither is
    (as with --hash v1), the tag promises nothing about the content: then only the tag's template and the form
    of the tar are checked.

    Raises:
        ContextError: it is damaged, contains something that a context cannot, or has another hash.
    """
    found = context_hash(list(check_entries(read_entries(tar))), job.destinations)
    tag = job.reference.tag or ""
    if _rendered(job) != tag:
        raise ContextError(f"the job's hash {job.hash} and template {job.tag} do not give its tag {tag}")
    for named in _HASH_WITHIN.findall(f"{job.hash} {tag}"):
        if named != found:
            raise ContextError(
                f"the context has the hash {found}, but its tag names {named}",
                hint="submit the package again",
            )


def _rendered(job: Job) -> str:
    try:
        return render_tag(job.tag, job.hash)
    except InputError as error:
        raise ContextError(error.message) from error
