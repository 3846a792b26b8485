"""The worker process: its role and checks, heartbeats, queues, pool, and shutdown.

May import: every package of farm except cli; tasks.
Must not know: the command line of farm, the lab.
Public: main (__main__), Role (role), Heartbeat (heartbeat), GracefulShutdown (graceful_shutdown).
"""
