"""Fuzzing: what a parser gets from others ends in a value or an error, in bounded time and memory.

`python -m tests.fuzz --seconds 60` mutates the seeds of each target. A new parser gets a row in `targets.py`.
"""
