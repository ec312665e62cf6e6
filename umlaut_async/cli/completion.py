"""`umlaut completion`: what lets a shell complete commands, databases and runs."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a SHELL complete `umlaut`: put `eval "$(umlaut completion bash)"` into ~/.bashrc.

    For zsh the same with zsh into ~/.zshrc; for fish `umlaut completion fish | source` into config.fish.
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "umlaut", "_UMLAUT_COMPLETE").source())
