"""Graph: which packages of a tree use which others, in what order they are built; drawn in four formats.

May import: package, settings, syntax, system, model, errors.
Must not know: registries, builds, Redis, the command line.
Public: read_graph (read_graph), Graph (graph), in_order (order), waves (order), critical_path (order).
"""
