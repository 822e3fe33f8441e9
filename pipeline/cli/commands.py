"""What all commands share: examples in the help, and errors as one sentence with an exit code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pipeline.cli.console import complain, log_to_stderr
from pipeline.errors import DemoireError, EngineError

_DEBUG = "demoire.debug"


def _remember(context: typer.Context, debug: bool) -> bool:
    context.meta[_DEBUG] = debug
    log_to_stderr(debug=debug)
    return debug


Debug = Annotated[
    bool,
    typer.Option(
        "--debug", callback=_remember, help="Log everything and show the traceback of an error."
    ),
]


class Commands(TyperGroup):
    """A group of commands whose errors are shown as `demoire: message`."""

    # The parameter's type is click's or typer's own copy of it, by version of typer.
    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run the command; an error that the user can act on becomes a sentence and a code."""
        try:
            return super().invoke(ctx)
        except DemoireError as error:
            if ctx.meta.get(_DEBUG):
                raise
            complain(str(error))
            raise typer.Exit(error.exit_code) from error


def add_command(
    app: typer.Typer,
    command: Callable[..., None],
    examples: Sequence[str],
    *,
    name: str | None = None,
) -> None:
    """Add a command with its docstring and examples as help.

    Args:
        app: To what.
        command: A function with the command's parameters.
        examples: Lines of the help.
        name: The function's where not given.
    """
    app.command(name, help=help_with(command, examples))(command)


def help_with(command: Callable[..., None], examples: Sequence[str]) -> str:
    """Return a command's docstring and examples as its help."""
    # \b keeps the lines as they are.
    shown = "\n".join(["\b", "[bold]Examples[/bold]", *(f"  {example}" for example in examples)])
    return f"{inspect.getdoc(command) or ''}\n\n{shown}"


def need_extra(command: str, modules: Sequence[str], *, extra: str) -> None:
    """Raise unless the modules that a command needs can be found; none is imported.

    Raises:
        EngineError: Some are missing; the message says how to install them.
    """
    missing = [name for name in modules if find_spec(name) is None]
    if missing:
        way_out = f"install with: pip install 'demoire[{extra}]'"
        raise EngineError(f"{command} needs {', '.join(missing)}; {way_out}")
