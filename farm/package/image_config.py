"""`config` of build.yml as the label org.mobyproject.config: what linuxkit's ImageConfig makes of it.

`linuxkit build` refuses an image whose label has other types or fields:
https://github.com/linuxkit/linuxkit/blob/v1.8.2/src/cmd/linuxkit/moby/config.go (ImageConfig)
https://github.com/opencontainers/runtime-spec/blob/v1.2.1/specs-go/config.go (Mount, LinuxResources)
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from farm.syntax.yaml_fields import Field

if TYPE_CHECKING:
    from collections.abc import Mapping

Read = Callable[[Field], Any]
"""Reads a field as one of Go's types; a field that is not given has the type's zero value."""


def image_label(config: Field) -> str:
    """The value of the label; an unknown field or one of another type is an error with its line."""
    # Of Go's encoder: https://pkg.go.dev/encoding/json#Marshal
    text = json.dumps(_IMAGE(config), separators=(",", ":"), ensure_ascii=False)
    return text.translate({ord(mark): f"\\u{ord(mark):04x}" for mark in "<>&\u2028\u2029"})


def _whole(bits: int, *, signed: bool = True) -> Read:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return lambda field: field.number(low, high)


def _user(field: Field) -> int | str:
    """The number or the name of a user or group."""
    value = field.scalar()
    if isinstance(value, int | str) and not isinstance(value, bool):
        return value
    raise field.wrong("must be a number or a name")


def _list(read: Read) -> Read:
    return lambda field: [read(item) for item in field.items()]


def _map(read: Read) -> Read:
    return lambda field: {name: read(entry) for name, entry in sorted(field.entries().items())}


def _struct(members: Mapping[str, Read], *, spelled: Callable[[str], str] = str) -> Read:
    """A struct: the names of its members in JSON, in order, with marks, and how each is read.

    Without a mark a member is written if it is given. With `?` it is written unless it is empty, with `!`
    always, and with `+` its own members are written in its place. `spelled` makes its name in YAML.
    """
    reads = [(name.rstrip("?!+"), name[len(name.rstrip("?!+")) :], read) for name, read in members.items()]
    known = {spelled(name) for name, _, _ in reads}

    def read_struct(field: Field) -> dict[str, Any]:
        found = field.fields(known)
        written: dict[str, Any] = {}
        for name, mark, read in reads:
            member = found[spelled(name)]
            if mark == "+":
                written |= read(member)
            elif mark == "!" or member.given:
                value = read(member)
                if value or mark != "?":
                    written[name] = value
        return written

    return read_struct


def _oci(members: Mapping[str, Read]) -> Read:
    """A struct of the runtime specification; its members have no names for YAML, so go-yaml's are used."""
    return _struct(members, spelled=str.lower)


_TEXT, _FLAG = Field.text, Field.boolean
_TEXTS, _PAIRS = _list(_TEXT), _map(_TEXT)
_INT64, _UINT64 = _whole(64), _whole(64, signed=False)
_UINT32, _UINT16 = _whole(32, signed=False), _whole(16, signed=False)

_ID_MAPPINGS = _list(_oci({"containerID!": _UINT32, "hostID!": _UINT32, "size!": _UINT32}))
_MOUNTS = _list(
    _oci(
        {
            "destination!": _TEXT,
            "type?": _TEXT,
            "source?": _TEXT,
            "options?": _TEXTS,
            "uidMappings?": _ID_MAPPINGS,
            "gidMappings?": _ID_MAPPINGS,
        }
    )
)
_BLOCK_DEVICE = {"linuxBlockIODevice+": _oci({"major!": _INT64, "minor!": _INT64})}
_THROTTLES = _list(_oci({**_BLOCK_DEVICE, "rate!": _UINT64}))
_RESOURCES = _oci(
    {
        "devices?": _list(
            _oci({"allow!": _FLAG, "type?": _TEXT, "major": _INT64, "minor": _INT64, "access?": _TEXT})
        ),
        "memory": _oci(
            {
                **dict.fromkeys(("limit", "reservation", "swap", "kernel", "kernelTCP"), _INT64),
                "swappiness": _UINT64,
                **dict.fromkeys(("disableOOMKiller", "useHierarchy", "checkBeforeUpdate"), _FLAG),
            }
        ),
        "cpu": _oci(
            {
                "shares": _UINT64,
                "quota": _INT64,
                "burst": _UINT64,
                "period": _UINT64,
                "realtimeRuntime": _INT64,
                "realtimePeriod": _UINT64,
                "cpus?": _TEXT,
                "mems?": _TEXT,
                "idle": _INT64,
            }
        ),
        "pids": _oci({"limit!": _INT64}),
        "blockIO": _oci(
            {
                "weight": _UINT16,
                "leafWeight": _UINT16,
                "weightDevice?": _list(_oci({**_BLOCK_DEVICE, "weight": _UINT16, "leafWeight": _UINT16})),
                "throttleReadBpsDevice?": _THROTTLES,
                "throttleWriteBpsDevice?": _THROTTLES,
                "throttleReadIOPSDevice?": _THROTTLES,
                "throttleWriteIOPSDevice?": _THROTTLES,
            }
        ),
        "hugepageLimits?": _list(_oci({"pageSize!": _TEXT, "limit!": _UINT64})),
        "network": _oci(
            {"classID": _UINT32, "priorities?": _list(_oci({"name!": _TEXT, "priority!": _UINT32}))}
        ),
        "rdma?": _map(_oci({"hcaHandles": _UINT32, "hcaObjects": _UINT32})),
        "unified?": _PAIRS,
    }
)
_DEVICES = _list(
    _struct({"path!": _TEXT, "type!": _TEXT, "major!": _INT64, "minor!": _INT64, "mode?": _TEXT})
)
_NAMESPACES = _struct(dict.fromkeys(("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"), _TEXT))
_INTERFACES = _list(_struct({"name?": _TEXT, "add?": _TEXT, "peer?": _TEXT, "createInRoot!": _FLAG}))
_RUNTIME = _struct(
    {
        "cgroups": _TEXTS,
        "mounts": _MOUNTS,
        "mkdir": _TEXTS,
        "interfaces": _INTERFACES,
        "bindNS!": _NAMESPACES,
        "namespace": _TEXT,
    }
)
_IMAGE = _struct(
    {
        "capabilities": _TEXTS,
        "capabilities.add": _TEXTS,
        "ambient": _TEXTS,
        "mounts": _MOUNTS,
        "binds": _TEXTS,
        "binds.add": _TEXTS,
        "devices": _DEVICES,
        **dict.fromkeys(("tmpfs", "command", "env"), _TEXTS),
        **dict.fromkeys(("cwd?", "net?", "pid?", "ipc?", "uts?", "userns?", "hostname?"), _TEXT),
        "readonly": _FLAG,
        "maskedPaths": _TEXTS,
        "readonlyPaths": _TEXTS,
        "uid": _user,
        "gid": _user,
        "additionalGids": _list(_user),
        "noNewPrivileges": _FLAG,
        "oomScoreAdj": _INT64,
        "rootfsPropagation": _TEXT,
        "cgroupsPath": _TEXT,
        "resources": _RESOURCES,
        "sysctl": _PAIRS,
        "rlimits": _TEXTS,
        "uidMappings": _ID_MAPPINGS,
        "gidMappings": _ID_MAPPINGS,
        "annotations": _PAIRS,
        "runtime": _RUNTIME,
    }
)
