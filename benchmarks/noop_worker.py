"""Workers that build and publish nothing: `python -m benchmarks.noop_worker farm|bare ARCH|publish`.

Those of `farm` are the farm's own but for the attempts at a build and a publication. Those of `bare` are
Celery's, as it is without any settings.
"""

from __future__ import annotations

import os
import sys
import time

from celery import Celery, chord, shared_task

from farm.model import ArchImage, Descriptor, JobState
from farm.settings import load_settings
from farm.state.records import JobPatch
from farm.state.workers import WorkerInfo
from lab.machine import ARCHES
from tasks.build_attempt import ImageBuild
from tasks.publish_manifest import PublishExecution
from workers.__main__ import run
from workers.role import Role

URL = "FARM_BROKER"
PUBLISHES = "publish"
SECONDS = "SECONDS"
"""The build argument that says for how long a build does nothing."""
_MEDIA_TYPE = "application/vnd.oci.image.manifest.v1+json"
_IMAGE = Descriptor(_MEDIA_TYPE, f"sha256:{64 * 'a'}", 1024)


def _build(self: ImageBuild) -> ArchImage:
    """The transitions, the log and the recorded duration of a build, and nothing built."""
    self.move(JobState.BUILDING, JobPatch())
    self.log.write("building nothing")
    seconds = float(dict(self.job.build_args).get(SECONDS, "0"))
    time.sleep(seconds)
    self._record_duration(seconds)
    self.move(JobState.PUSHING, JobPatch())
    image = ArchImage(self.job.arch, self.target, (_IMAGE,))
    self.move(JobState.BUILT, JobPatch(image=image))
    return image


def _publish(*_: object) -> Descriptor:
    """Nothing published."""
    return _IMAGE


def bare_app(url: str) -> Celery:
    """Celery without any settings but its queues."""
    app = Celery("bare", broker=url, backend=url)
    app.conf.task_default_queue = PUBLISHES
    return app


@shared_task(name="bare.build")
def bare_build(*, run: str, package: str, arch: str) -> dict[str, object]:
    """What a build returns."""
    return {"arch": arch, "reference": f"{run} {package}", "descriptors": [_IMAGE.to_json()]}


@shared_task(name="bare.publish")
def bare_publish(*_: object, **__: object) -> dict[str, object]:
    """What a publication returns."""
    return _IMAGE.to_json()


def send_bare(app: Celery, packages: int) -> None:
    """Send the chords of a run."""
    for number in range(packages):
        named = {"run": "r1", "package": f"bench/p{number}"}
        header = [bare_build.signature(kwargs={**named, "arch": arch}, queue=arch) for arch in ARCHES]
        chord(header, app=app)(bare_publish.signature(kwargs=named, queue=PUBLISHES))


def _main(kind: str, role: str) -> None:
    if kind == "bare":
        bare_app(os.environ[URL]).worker_main(
            ["worker", f"--queues={role}", f"--hostname={role}@bare", "--concurrency=1", "--without-mingle"]
        )
    ImageBuild.attempt = _build  # type: ignore[method-assign]
    PublishExecution._attempt = _publish  # type: ignore[method-assign,assignment] # noqa: SLF001 - the smallest part that publishes
    arches = () if role == PUBLISHES else (role,)
    settings = load_settings({})
    worker = WorkerInfo(f"{role}@bench", arches, not arches, settings.concurrency, engine="")
    run(settings, Role(worker))


if __name__ == "__main__":
    _main(*sys.argv[1:])
