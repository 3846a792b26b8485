"""farm graph: which packages of a tree use which others, and in what order they are built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.cli.options import json_option, with_settings
from farm.cli.output import print_bytes, print_json, print_warnings, say

if TYPE_CHECKING:
    from farm.graph.graph import Graph
    from farm.settings import Settings


@click.command("graph")
@click.argument("directories", nargs=-1, required=True, metavar="PATH...")
@with_settings("org", "build_args", org="organisation that Dockerfiles may name too, as with `farm push`")
@click.option(
    "--build-yml", default="build.yml", show_default=True, metavar="FILE", help="Name of the build.yml."
)
@click.option(
    "--of",
    "names",
    multiple=True,
    metavar="PACKAGE",
    help="Only this package, what it needs and what needs it; a name or a directory.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["tree", "dot", "svg", "json"]),
    default="tree",
    show_default=True,
    help="svg needs Graphviz.",
)
@json_option
def graph(
    settings: Settings,
    directories: tuple[str, ...],
    build_yml: str,
    names: tuple[str, ...],
    form: str,
    as_json: bool,
) -> None:
    """Show which packages below PATH use which others, what is stale, and in what waves they are built.

    A package uses another one if its Dockerfile is built FROM its image, copies or mounts from it, if its
    build.yml saves that image into the context, or copies its directory. A use is stale if it names another
    tag than the tree makes now: `farm bump` rewrites it.

    What cannot be read is left out, with a warning.

    \b
    farm graph pkg tools
    farm graph --of linuxkit/alpine --format svg . > graph.svg
    """
    from farm.graph.read_graph import read_graph
    from farm.graph.resolve_names import resolve_names
    from farm.package.tags import TagOptions

    tags = TagOptions(build_yml=build_yml)
    tree = read_graph(directories, tags, dict(settings.build_args), settings.org)
    print_warnings(tree.warnings)
    found = tree.graph.around(resolve_names(names, tree.graph.packages)) if names else tree.graph
    _print(found, "json" if as_json else form, tree.warnings)


def _print(found: Graph, form: str, warnings: tuple[str, ...]) -> None:
    from farm.graph.draw_dot import dot_lines, draw_svg
    from farm.graph.draw_tree import tree_lines

    if form == "json":
        print_json(found.to_json() | {"warnings": list(warnings)})
    elif form == "svg":
        print_bytes(draw_svg(found))
    else:
        for line in dot_lines(found) if form == "dot" else tree_lines(found):
            say(line)
