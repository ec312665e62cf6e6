"""`umlaut plot`: the stages and series of a run on one time axis."""

from __future__ import annotations

import shutil
import sys

import click

from umlaut_async.cli.database import reading
from umlaut_async.cli.output import STDOUT, check_output, opened
from umlaut_async.cli.parameters import DB, RUNS
from umlaut_async.cli.progress import waiting

_PIPED_WIDTH = 100
_NARROWEST = 60


@click.command()
@click.argument("db", type=DB)
@click.argument("run", type=RUNS, required=False)
@click.option("-m", "--metrics", help="Types of series with commas between them, such as cpu,memory; all by default.")
@click.option("--html", metavar="OUT", help="Write a page that needs no other file; - is standard output.")
@click.option("--png", metavar="OUT", help="Write a picture; this needs the extra `plot`.")
@click.option("--text", "as_text", is_flag=True, help="Print the figure as text, which is the default.")
@click.option("--from", "since", type=float, metavar="SECONDS", help="Where to begin, from the start of the run.")
@click.option("--to", "until", type=float, metavar="SECONDS", help="Where to end, from the start of the run.")
@click.option("--width", type=click.IntRange(_NARROWEST, 1000), help="How many characters wide the text is.")
def plot(
    db: str,
    run: str | None,
    metrics: str | None,
    html: str | None,
    png: str | None,
    as_text: bool,
    since: float | None,
    until: float | None,
    width: int | None,
) -> None:
    """Draw a run in the database DB: its stages, and below them its series, on one time axis.

    RUN is the beginning of its uuid, its name, last~2, tag:x or @baseline; without it the newest run is drawn. Each
    series is a line through its mean and a band from its lowest to its highest value: however many samples there are,
    no peak is left out.
    """
    from umlaut_async.analysis.figures import characters
    from umlaut_async.analysis.figures.figure import COLUMNS, build
    from umlaut_async.analysis.selectors import select_one

    if png == STDOUT:
        raise click.UsageError("a picture is no text; name a file with --png OUT")
    outputs = [path for path in (html, png) if path is not None]
    for path in outputs:
        check_output(path, db)
    if not all(time is None or -1e9 < time < 1e9 for time in (since, until)):
        raise click.UsageError("--from and --to are seconds since the start of the run")
    chosen = None if metrics is None else [name for each in metrics.split(",") if (name := each.strip())]
    if chosen == []:
        raise click.UsageError(f"-m {metrics!r} names no type of series; leave it out for all")
    text_width = width or (_terminal_width() if sys.stdout.isatty() else _PIPED_WIDTH)
    columns = COLUMNS if outputs else text_width - characters.LABEL
    with reading(db) as session, waiting("reading the run"):
        figure = build(session, select_one(session, "last" if run is None else run), chosen, since, until, columns)
    if html is not None:
        from umlaut_async.analysis.figures.report import figure_page

        with opened(html) as page:
            page.write(figure_page(figure))
    if png is not None:
        from umlaut_async.analysis.figures.picture import save_picture

        with opened(png, binary=True) as picture, waiting("drawing the picture"):
            save_picture(figure, picture)
    if as_text or not outputs:
        for line in characters.lines(figure, text_width):
            click.echo(line)


def _terminal_width() -> int:
    # Room for what is said of each stage to its right.
    return max(_NARROWEST, shutil.get_terminal_size().columns - 24)
