"""What a farm needs, on one machine: registries, notary server, Redis, Docker Engine, base images.

Used by the demo and the tests; not installed.

May import: all of farm.
Must not know: tasks, workers, tests.
Public: Lab and running_lab (lab), Service (process), Entry (cache), main (setup).
"""
