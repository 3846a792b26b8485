"""Field numbers of the messages exchanged with BuildKit, under the names of its .proto files."""

from __future__ import annotations

from enum import IntEnum

# https://github.com/moby/buildkit/blob/master/api/services/control/control.proto


class StatusResponseField(IntEnum):
    """A progress message of a build."""

    VERTEXES = 1
    STATUSES = 2
    LOGS = 3
    WARNINGS = 4


class VertexField(IntEnum):
    """The state of one step."""

    DIGEST = 1
    NAME = 3
    CACHED = 4
    STARTED = 5
    COMPLETED = 6
    ERROR = 7


class VertexStatusField(IntEnum):
    """Progress inside a step."""

    ID = 1
    VERTEX = 2
    NAME = 3
    CURRENT = 4
    COMPLETED = 8


class VertexLogField(IntEnum):
    """Output of a step."""

    VERTEX = 1
    TIMESTAMP = 2
    STREAM = 3
    MSG = 4


class VertexWarningField(IntEnum):
    """A warning about a step."""

    VERTEX = 1
    SHORT = 3


LIST_WORKERS_RESPONSE_RECORD = 1
# https://github.com/moby/buildkit/blob/master/api/types/worker.proto
WORKER_RECORD_PLATFORMS = 3
# https://github.com/moby/buildkit/blob/master/solver/pb/ops.proto
PLATFORM_ARCHITECTURE, PLATFORM_OS = 1, 2

# https://github.com/moby/buildkit/blob/master/session/upload/upload.proto
BYTES_MESSAGE_DATA = 1
# https://github.com/moby/buildkit/blob/master/session/auth/auth.proto
CREDENTIALS_REQUEST_HOST = 1
CREDENTIALS_RESPONSE_USERNAME, CREDENTIALS_RESPONSE_SECRET = 1, 2
# https://github.com/grpc/grpc-proto/blob/master/grpc/health/v1/health.proto
HEALTH_CHECK_RESPONSE_STATUS = 1
SERVING = 1

# https://protobuf.dev/reference/protobuf/google.protobuf/#timestamp
TIMESTAMP_SECONDS, TIMESTAMP_NANOS = 1, 2
