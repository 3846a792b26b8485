"""A worker process: which architectures it builds or that it publishes, its signs of life, its checks."""
