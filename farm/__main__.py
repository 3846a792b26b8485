"""python -m farm: the command line."""

from farm.cli.main import main

main()
