"""The result of a build by buildx, from its output and its exit status."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from farm.builders.build_failures import build_failure
from farm.builders.build_log import BuildLog
from farm.builders.buildx_progress import read_status
from farm.builders.push_failures import push_failure
from farm.buildkit.progress import readable
from farm.errors import EngineUnavailableError

if TYPE_CHECKING:
    from farm.buildkit.progress import BuildStep
    from farm.model import Reference

_ERROR = "ERROR: "
_PUSH_STEP = "pushing "


@dataclass(slots=True)
class BuildxResult(BuildLog):
    """Logs what buildx prints, and knows why it failed."""

    error: list[str] = field(default_factory=list)
    """The last lines, from the one that begins with ERROR."""
    pushing: bool = False
    """Whether the push has begun."""

    def take(self, item: dict[str, Any] | str) -> None:
        """Process a progress object, or a line of text."""
        if isinstance(item, str):
            self._line(item)
            return
        trace = self.write_trace(lambda: read_status(item))
        names = [*(one.name for one in trace.vertexes), *(one.name for one in trace.statuses)]
        self.pushing |= any(name.startswith(_PUSH_STEP) for name in names)

    def check(self, status: int, reference: Reference) -> None:
        """Return if the image was built, and is where it was to go.

        Args:
            status: the exit status; negative for the signal that killed buildx.
            reference: the image.

        Raises:
            FarmError: the build or the push failed.
        """
        step, message = self.finish(), "\n".join(self.error)
        if status == 0:
            return
        if status < 0 and not message:
            raise EngineUnavailableError(f"docker buildx was killed by signal {-status}")
        if step and _is_push(step):
            raise push_failure(reference, step.vertex.error)
        raise build_failure(message or f"docker buildx exited with status {status}", step)

    def _line(self, line: str) -> None:
        if line.startswith(_ERROR):
            self.error = [line.removeprefix(_ERROR)]
        elif self.error:
            self.error.append(line)
        elif line.strip():
            self.log(readable(line))


def _is_push(step: BuildStep) -> bool:
    return step.vertex.name.startswith(_PUSH_STEP) or step.vertex.error.startswith("failed to push ")
