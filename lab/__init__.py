"""A farm's surroundings on one machine: registries, notary server, Redis, engine, base images; for demo and tests."""
