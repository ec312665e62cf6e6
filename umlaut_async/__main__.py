"""Run the command line: `python -m umlaut_async`."""

from umlaut_async.cli import main

main(prog_name="umlaut")
