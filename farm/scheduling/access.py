"""What each role may do in Redis: the users of a shared Redis, from which config/redis/users.acl is made.

A grant is a selector of Redis 7: these commands on these keys, and on no others. Nobody but the operator
administers the server, lists keys, or runs a script of his own: EVAL is missing, and EVALSHA is allowed for
the digests of the scripts that farm, Celery and kombu have. Everyone may load a script, because a Redis that
was restarted has none; one with another digest is never run.
https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from celery.backends import redis as results
from kombu.transport import redis as transport

from farm.model import ARCHES
from farm.scheduling.celery_app import PUBLISH_QUEUE, build_queue
from farm.state.store import ONCE, script_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class Grant(NamedTuple):
    """Commands and scripts that are allowed on these keys and channels only."""

    commands: str
    keys: str = ""
    """Patterns: ~ to read and write, %R~ to read, %W~ to write. `?` is for a space in a key."""
    channels: str = ""
    scripts: tuple[str, ...] = ()
    """Their texts."""

    def rule(self) -> str:
        """The grant as Redis writes it."""
        commands = [f"+{name}" for name in self.commands.split()]
        commands += [f"+evalsha|{hashlib.sha1(text.encode()).hexdigest()}" for text in self.scripts]  # noqa: S324 - Redis names scripts so
        return f"({' '.join([*commands, *self.keys.split(), *self.channels.split()])})"


_EVERYONE = "+ping +select +info +time +multi +exec +discard +unwatch +script|load +script|exists"


def _run(mark: str, *parts: str) -> str:
    return " ".join(f"{mark}~farm:{{r*}}:{part}" for part in parts)


def _farm_scripts(*names: str) -> tuple[str, ...]:
    return tuple(script_text(name) for name in names)


def _texts(module: ModuleType, *names: str) -> tuple[str, ...]:
    # Its stubs do not have them.
    return tuple(str(getattr(module, name)) for name in names)


_SORTED = ("queued:*", "ready:*", "in-progress", "due", "requeued")
_PARTS = ("meta", "order", "records", "works", "dependents", "ranks", "left", "events", *_SORTED)

_TRANSITIONS = (
    Grant(
        "exists hget hset hexists hincrby xadd zadd zrem zscore",
        _run("", "meta", "records", "left", "events", *_SORTED),
        scripts=_farm_scripts("transition", "clear_due"),
    ),
    Grant("hget hmget hstrlen", _run("%R", "meta", "order", "records", "works", "dependents", "ranks")),
)
_SEND_READY = (
    Grant("zrange zrevrange zcard", _run("%R", *_SORTED)),
    Grant("llen", "%R~build.*"),
    Grant("lrange", "%R~farm:durations:*"),
)
_CHECK = Grant(
    "get pttl pexpire type strlen unlink",
    "~farm:{lease:check}:lease",
    scripts=_farm_scripts("lease_holder"),
)
_HEARTBEAT = (
    Grant("hset hdel hgetall hexists", "~farm:workers"),
    Grant("hgetall hexists", "%R~farm:drained"),
)


def _leases(pattern: str) -> Grant:
    scripts = _farm_scripts("lease_take", "lease_renew", "lease_release", "lease_holder")
    commands = "get set pttl pexpire del lrem rpush lrange expire type strlen unlink"
    return Grant(commands, f"~farm:{{lease:{pattern}}}:*", scripts=scripts)


_CHORDS = Grant(
    "get set del exists expire zadd zcount zrange sadd sismember",
    "~celery-taskset-meta-*",
    scripts=_texts(results, "CHORD_PART_RETURN_LUA", "CHORD_CLEANUP_LUA", "CHORD_CLAIM_EXTEND_LUA"),
)
_RESULTS = Grant("get setex publish", "~celery-task-meta-*", "&celery-task-meta-*")
_BINDINGS = Grant("sadd", f"%W~_kombu.binding.{PUBLISH_QUEUE} %W~_kombu.binding_permanent.{PUBLISH_QUEUE}")
# All of them: each consumer deletes those that expired.
_ALL_BINDINGS = Grant(
    "sadd srem smembers zadd zrangebyscore zrem exists del",
    "~_kombu.binding*",
    scripts=_texts(transport, "REFRESH_BINDING", "SWEEP_BINDINGS"),
)


def _send(*queues: str) -> tuple[Grant, ...]:
    return (Grant("lpush llen", " ".join(f"%W~{queue}*" for queue in queues)), _BINDINGS)


def _consume(database: int, *queues: str) -> tuple[Grant, ...]:
    """What a worker of these queues needs: kombu's queues, acknowledgements, remote control and events."""
    names = " ".join(f"~{queue}*" for queue in queues)
    return (
        Grant("brpop lpush rpush llen ltrim type del", names),
        Grant("llen exists del pexpire", "~*@*.celery.pidbox*"),
        Grant("lpush pexpire", "%W~*.reply.celery.pidbox*"),
        _ALL_BINDINGS,
        Grant("psubscribe punsubscribe", channels=f"&/{database}.celery.pidbox"),
        Grant("publish", channels=f"&/{database}.celeryev/*"),
    )


def _maintainer(database: int) -> tuple[Grant, ...]:
    return (
        *_TRANSITIONS,
        Grant("watch exists hset zadd hget hgetall hmget hlen zrange zcount", _run("", *_PARTS)),
        Grant("del", _run("%W", "order", "records", "works", "dependents", "ranks", "left", *_SORTED)),
        Grant("xread xrevrange", _run("%R", "events", "log:*")),
        Grant("incrby", "~farm:run-number"),
        Grant("watch get set", f"~{ONCE}*"),
        Grant("zadd zrange zrevrange zrangebyscore", "~farm:runs ~farm:open-runs"),
        Grant("rpush ltrim expire", "~farm:context:{*}:*"),
        Grant("rename", "~farm:context:{*}:* %W~farm:context:{*}"),
        Grant("expire", "%W~farm:context:{*}"),
        Grant("hgetall hexists", "%R~farm:workers"),
        Grant("hgetall hexists hset hdel", "~farm:drained"),
        *_SEND_READY,
        _CHECK,
        *_send("build.", PUBLISH_QUEUE),
        Grant("set del", "~celery-taskset-meta-*"),
        Grant("publish", channels=f"&/{database}.celeryev/*"),
    )


def _worker(database: int, arches: Sequence[str]) -> tuple[Grant, ...]:
    logs = _run("", *(f"log:*:{arch}" for arch in arches))
    durations = " ".join(f"~farm:durations:{arch} ~farm:durations:*?{arch}" for arch in arches)
    waiting = [f"{part}:{arch}" for part in ("queued", "ready") for arch in arches]
    return (
        *_TRANSITIONS,
        Grant("", f"{logs} {_run('', 'records')}", scripts=_farm_scripts("log_append")),
        Grant("xadd xtrim expire", logs),
        *(_leases(f"*-{arch}") for arch in arches),
        Grant("exists", "%R~farm:{lease:*}:lease"),
        _CHECK,
        Grant("lindex", "%R~farm:context:{*}"),
        Grant("del", "%W~farm:context:{*}"),
        *_HEARTBEAT,
        Grant("lpush ltrim expire lrange", durations),
        Grant("zrange zrangebyscore", "%R~farm:open-runs"),
        Grant("zrange zrevrange zcard", _run("%R", "in-progress", "requeued", *waiting)),
        *_consume(database, *(build_queue(arch) for arch in arches)),
        *_send(PUBLISH_QUEUE),
        _RESULTS,
        _CHORDS,
    )


def _publisher(database: int) -> tuple[Grant, ...]:
    return (
        *_TRANSITIONS,
        Grant("zrangebyscore zscore", _run("%R", *_SORTED)),
        *_SEND_READY,
        Grant("expire", _run("%W", *_PARTS)),
        Grant("zrange zrangebyscore zrem", "~farm:open-runs"),
        Grant("zremrangebyrank", "~farm:runs"),
        _leases("*"),
        *_HEARTBEAT,
        Grant("lindex", f"%R~build.* %R~{PUBLISH_QUEUE}*"),
        *_consume(database, PUBLISH_QUEUE),
        *_send("build."),
        _RESULTS,
        _CHORDS,
    )


def _flower(database: int) -> tuple[Grant, ...]:
    return (
        Grant("llen", f"%R~build.* %R~{PUBLISH_QUEUE}*"),
        Grant("get", "%R~celery-task-meta-*"),
        Grant("psubscribe punsubscribe", channels=f"&/{database}.celeryev/*"),
        Grant("publish", channels=f"&/{database}.celery.pidbox"),
        Grant("brpop llen exists del pexpire", "~*.reply.celery.pidbox* ~celeryev.*"),
        _ALL_BINDINGS,
    )


def grants(user: str, database: int = 0) -> tuple[Grant, ...]:
    """What a user may do in this database besides what everyone may; KeyError for an unknown one."""
    kinds = {"maintainer": _maintainer, "publisher": _publisher, "flower": _flower}
    workers = {"worker": ARCHES} | {f"worker-{arch}": (arch,) for arch in ARCHES}
    return _worker(database, workers[user]) if user in workers else kinds[user](database)


def user_rule(user: str, password: str, database: int = 0) -> str:
    """The line of an ACL file for a user; `password` is #SHA256, or > and the password."""
    rules = " ".join(grant.rule() for grant in grants(user, database))
    return f"user {user} on {password} resetkeys resetchannels -@all {_EVERYONE} {rules}"
