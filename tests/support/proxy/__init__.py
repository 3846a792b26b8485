"""Proxies between the farm and its services, with which tests watch, hold, cut and change what passes."""
