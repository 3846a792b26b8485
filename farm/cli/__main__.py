"""python -m farm.cli: the command line, for programs of the farm that run it."""

from farm.cli.main import main

main()
