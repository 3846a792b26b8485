"""Attestations: signed statements of workers, of what their images were made, and where they are kept.

May import: registry, system, model, errors.
Must not know: settings, policies, packages, builds, Redis.
Public: Provenance (statement), to_statement (statement), seal (envelope), open_envelope (envelope),
create_worker_key (worker_key), load_worker_key (worker_key), attest (check), attestations (check),
attestations_of_all (check), acceptable (check).
"""
