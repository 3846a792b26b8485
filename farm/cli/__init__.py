"""The command line: each verb parses its flags, calls one function and prints.

May import: diagnosis, private_farm, local_build, watch, monitor, scheduling, planning, state, trust,
builders, bump, attestation, cache, graph, registry, package, settings, syntax, system, model, errors.
Must not know: tasks, workers, the BuildKit protocol.
Public: main (main), LazyGroup (main), with_settings (options), print_json (output).
"""
