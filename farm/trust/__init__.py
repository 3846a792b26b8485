"""Trust: the policy, orders, attested images, and the Signer protocol, with cosign and notary as signers.

May import: attestation, registry, system, settings, syntax, model, errors.
Must not know: packages, plans, Redis, Celery.
Public: Signer (signer), SignTarget (signer), Signature (signer), make_signer (signer), Policy (policy),
load_policy (policy_file), PolicyFile (policy_file), sign (ssh_signatures), verify (ssh_signatures).
"""
