"""The signals that children of the tests start with."""

from __future__ import annotations

import signal


def default_in_children() -> None:
    """Have children start with the default action of SIGINT, SIGQUIT and SIGHUP.

    A shell starts background jobs with the first two ignored, nohup with the third, and children inherit
    that. A handler that does nothing
    has the same effect in this process, but exec resets it to the default in a child.
    """
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
