"""A suite that was started in the background does not pass its ignored signals on to what it tests."""

from __future__ import annotations

import subprocess
import sys

BACKGROUND = '''
import signal, subprocess, sys
for number in (signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
from tests.support.signals import default_in_children
default_in_children()
signal.raise_signal(signal.SIGINT)
child = """import signal
kept = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGHUP)
print(kept == (signal.default_int_handler, signal.SIG_DFL))"""
print(subprocess.run([sys.executable, "-c", child], capture_output=True, text=True, check=True).stdout)
'''


def test_children_of_a_suite_in_the_background_can_be_interrupted_and_the_suite_cannot() -> None:
    done = subprocess.run([sys.executable, "-c", BACKGROUND], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
