"""Flower, the monitor of queues and workers: how it is launched, and the application it loads.

May import: scheduling, settings, syntax, system, errors.
Must not know: the command line, the private farm.
Public: flower_command (flower_launch), flower_environment (flower_launch), check_port (flower_launch).
"""
