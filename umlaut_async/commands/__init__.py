"""Measure commands from outside: any program in any language, with all that it starts."""
