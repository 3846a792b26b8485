"""Signing: the Signer protocol, and notary (Docker Content Trust) as its implementation.

May import: registry, system, settings, model, errors.
Must not know: packages, plans, Redis, Celery.
Public: Signer (signer), SignTarget (signer), Signature (signer), make_signer (signer).
"""
