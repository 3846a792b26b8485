"""What an operator does to the stack in containers: make its secrets, add a machine, back up, restore.

Runs from a clone with Python's standard library alone, before anything is installed.
"""
