"""What a farm stands on, on one machine: registries, notary server, Redis, engine, base images."""
