"""Attacks on a farm, one in each test, from the weakest role that could try it, against real services."""
