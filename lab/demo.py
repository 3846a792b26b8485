"""The demo."""


def demo() -> int:
    """Show the farm at work; returns the exit code."""
    return 0
