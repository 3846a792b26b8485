"""Measurements of the farm, each beside a peer or a limit in the same run."""
