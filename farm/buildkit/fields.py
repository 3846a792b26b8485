"""Field numbers of the messages exchanged with BuildKit, under the names of its .proto files."""

from __future__ import annotations

from enum import IntEnum

# https://github.com/moby/buildkit/blob/master/api/services/control/control.proto


class StatusResponseField(IntEnum):
    """Fields of `StatusResponse`, a progress message of a build."""

    VERTEXES = 1
    STATUSES = 2
    LOGS = 3
    WARNINGS = 4


class VertexField(IntEnum):
    """Fields of `Vertex`, the state of one step."""

    DIGEST = 1
    NAME = 3
    CACHED = 4
    STARTED = 5
    COMPLETED = 6
    ERROR = 7


class VertexStatusField(IntEnum):
    """Fields of `VertexStatus`, progress inside a step."""

    ID = 1
    VERTEX = 2
    NAME = 3
    CURRENT = 4
    COMPLETED = 8


class VertexLogField(IntEnum):
    """Fields of `VertexLog`, output of a step."""

    VERTEX = 1
    TIMESTAMP = 2
    STREAM = 3
    MSG = 4


class VertexWarningField(IntEnum):
    """Fields of `VertexWarning`."""

    VERTEX = 1
    SHORT = 3


class ListWorkersResponseField(IntEnum):
    """Fields of `ListWorkersResponse`."""

    RECORD = 1


class WorkerRecordField(IntEnum):
    """Fields of https://github.com/moby/buildkit/blob/master/api/types/worker.proto `WorkerRecord`."""

    PLATFORMS = 3


class PlatformField(IntEnum):
    """Fields of https://github.com/moby/buildkit/blob/master/solver/pb/ops.proto `Platform`."""

    ARCHITECTURE = 1
    OS = 2


class BytesMessageField(IntEnum):
    """Fields of https://github.com/moby/buildkit/blob/master/session/upload/upload.proto `BytesMessage`."""

    DATA = 1


# https://github.com/moby/buildkit/blob/master/session/auth/auth.proto


class CredentialsRequestField(IntEnum):
    """Fields of `CredentialsRequest`."""

    HOST = 1


class CredentialsResponseField(IntEnum):
    """Fields of `CredentialsResponse`."""

    USERNAME = 1
    SECRET = 2


# https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto


class HealthCheckResponseField(IntEnum):
    """Fields of `HealthCheckResponse`."""

    STATUS = 1


class ServingStatus(IntEnum):
    """Values of `HealthCheckResponse.status`."""

    SERVING = 1


class TimestampField(IntEnum):
    """Fields of https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp."""

    SECONDS = 1
    NANOS = 2
