"""`python -m xex` is the command line."""

from xex.cli import main

main()
