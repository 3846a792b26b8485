"""What the order of a large run costs: making, signing and storing it, and verifying one job's part of it."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

from farm.model import Job, PackageWork, Reference, Run
from farm.model.order import OrderedRun, make_order
from farm.private_farm.own_keys import OwnTrust, ensure_own_trust
from farm.settings import Secret, Settings
from farm.state.run_handles import RunHandle
from farm.state.runs import create_run
from farm.state.store import Store
from farm.trust.orders import sign_run
from farm.trust.own_rights import check_own_rights
from lab import services
from lab.machine import ARCHES
from tasks.orders import read_ordered_job
from tasks.worker_context import configure, worker_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGES = 10_000
_JOBS = 50
"""Jobs that a worker verifies once it knows the order."""
_MEGABYTE = 1_000_000
_RUN = "r1-bench"
_AS_WORKER = "import sys; from benchmarks.orders import verify; verify(*sys.argv[1:])"


class Figure(NamedTuple):
    """One figure, for people."""

    what: str
    value: str

    def line(self) -> str:
        """One line."""
        return f"{self.what}: {self.value}"


def rows() -> Iterator[Figure]:
    """A run of 10,000 packages for three architectures, which nothing builds."""
    with TemporaryDirectory(prefix="farm-b") as name, redis_server(Path(name)) as url:
        trust = ensure_own_trust(Path(name, "keys"))
        settings = _settings(url, trust)
        run = make_run(_PACKAGES)
        names = [work.reference.name for work in run.works]
        what = f"{_PACKAGES} packages for {len(ARCHES)} architectures"
        yield Figure(f"{what}, rights checked", _timed(check_own_rights, settings, names, release=False)[0])
        yield Figure(f"{what}, order made", _timed(make_order, run, "nonce")[0])
        took, ordered = _timed(sign_run, run, settings)
        yield Figure(f"{what}, order made and signed", took)
        yield Figure(f"{what}, the document", _size(len(ordered.order.document)))
        yield Figure(f"{what}, all parts", _size(sum(map(len, ordered.parts.values()))))
        yield from _stored(url, ordered, what)
        yield from _verified(url, trust)


def _stored(url: str, ordered: OrderedRun, what: str) -> Iterator[Figure]:
    with closing(Store(Secret(url))) as store:
        took, handle = _timed(create_run, store, ordered)
        yield Figure(f"{what}, run and order stored", took)
        for part in ("order", "works", "records"):
            used = store.text.memory_usage(handle.key(part), samples=0)
            yield Figure(f"{what}, Redis' memory for `{part}`", _size(int(used or 0)))


def _verified(url: str, trust: OwnTrust) -> Iterator[Figure]:
    """A worker of its own, whose memory is measured; its address of Redis goes through the environment."""
    command = [sys.executable, "-c", _AS_WORKER, *map(str, trust)]
    environment = os.environ | {"BENCH_REDIS": url}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=300)
    for line in done.stdout.splitlines():
        what, _, value = line.partition(": ")
        yield Figure(what, value)


def verify(*trust: str) -> None:
    """Verify jobs of the run as a worker does, and print the figures."""
    configure(_settings(os.environ["BENCH_REDIS"], OwnTrust(*map(Path, trust))), "worker@bench")
    context = worker_context()
    run = RunHandle(context.store, _RUN)
    context.policy  # noqa: B018 - read before: every job needs it
    jobs = [run.package(f"bench/p{number}").job(arch) for number in range(_JOBS) for arch in ARCHES]
    before, sent, times = _memory(), [_sent(context.store)], []
    for job in jobs:
        started = time.perf_counter()
        read_ordered_job(context, job)
        times.append((time.perf_counter() - started) * 1000)
        sent.append(_sent(context.store))
    cold, *warm = times
    print(f"a worker verifies its first job of the run: {cold:.0f} ms")
    print(
        f"a worker verifies each further job: {min(warm):.1f} ms (median {median(warm):.1f} of {len(warm)})"
    )
    print(f"Redis sends for the first job: {_size(sent[1] - sent[0])}")
    print(f"Redis sends for each further job: {_size((sent[-1] - sent[1]) // len(warm))}")
    print(f"the worker's memory grows by: {_size(_memory() - before)}")


def _sent(store: Store) -> int:
    return int(store.text.info("stats")["total_net_output_bytes"])


def _memory() -> int:
    """Bytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _timed(call: Callable[P, R], *args: P.args, **options: P.kwargs) -> tuple[str, R]:
    started = time.perf_counter()
    answer = call(*args, **options)
    return f"{(time.perf_counter() - started) * 1000:.0f} ms", answer


def _size(count: int) -> str:
    return f"{count / _MEGABYTE:.2f} MB" if count >= _MEGABYTE / 10 else f"{count / 1e3:.1f} kB"


def _settings(url: str, trust: OwnTrust) -> Settings:
    return Settings(
        broker=Secret(url), policy=trust.policy, order_key=trust.order_key, worker_key=trust.worker_key
    )


def make_run(packages: int) -> Run:
    """A run of some packages as a push makes it, with the usual labels and build arguments."""
    return Run(_RUN, "bench@host", time.time(), tuple(map(make_work, range(packages))))


def make_work(number: int) -> PackageWork:
    """The work of a package as a push makes it, with the usual labels and build arguments."""
    package, tree, commit = f"bench/p{number}", secrets.token_hex(20), secrets.token_hex(20)
    reference = Reference("docker.io", package, tree)
    labels = {"source": "https://github.com/linuxkit/linuxkit", "revision": commit}
    job = {
        "run": _RUN,
        "package": package,
        "reference": reference,
        "hash": tree,
        "tree": tree,
        "tag": "{{.Hash}}",
        "context": f"sha256:{secrets.token_hex(32)}",
        "context_size": 20480,
        "labels": tuple((f"org.opencontainers.image.{name}", value) for name, value in labels.items()),
        "build_args": (("SOURCE", labels["source"]), ("REVISION", commit), ("PKG_HASH", tree)),
        "bases": (("docker.io/linuxkit/alpine:3.20", f"sha256:{secrets.token_hex(32)}"),),
    }
    jobs = tuple(Job(arch=arch, **job) for arch in ARCHES)  # type: ignore[arg-type]
    return PackageWork(package, reference, tuple(ARCHES), jobs, tree=tree)


@contextmanager
def redis_server(home: Path) -> Iterator[str]:
    """A Redis while the body runs; yields its URL."""
    redis = services.redis(home, secrets.token_hex(16))
    redis.service.start()
    try:
        yield redis.address
    finally:
        redis.service.stop()
