"""BuildKit protocol: requests to an engine, gRPC sessions, and build progress, on plain sockets.

May import: model, errors.
Must not know: settings, packages, registries, docker-py.
Public: Connection (connection), Session (session), Progress (progress), read_trace (status_messages).
"""
