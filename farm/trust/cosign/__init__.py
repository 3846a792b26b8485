"""cosign: signatures and attestations of a key pair, made without the program, where cosign 2 looks for them.

May import: registry, system, settings, model, errors.
Must not know: packages, plans, Redis, Celery.
Public: CosignSigner (signer), attest (attest), generate_key_pair (key_files).
"""
