"""Docker Content Trust: signatures made, read back and prepared with the notary client.

May import: registry, settings, syntax, system, model, errors.
Must not know: packages, plans, Redis, Celery.
Public: NotarySigner (signer), initialise (initialise), generate_delegation_key (delegation),
read_pins (pins).
"""
