"""Tasks: what Celery runs on workers and publishers.

May import: everything of farm but cli, private_farm, local_build, monitor, diagnosis.
Must not know: the command line, how a worker process is started.
Public: build_and_push (build_and_push), publish_manifest (publish_manifest), configure (worker_context).
"""
