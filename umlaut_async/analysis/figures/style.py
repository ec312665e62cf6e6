"""The style sheet of pages: light and dark as the reader's system is, from narrow telephones to wide screens."""

from __future__ import annotations

__all__ = ["DARK", "LIGHT", "STYLE"]

LIGHT = {
    "page": "#ffffff", "text": "#1b1f24", "muted": "#57606a", "line": "#d0d7de", "panel": "#f6f8fa",
    "failed": "#c1121f",
    "c0": "#0072b2", "c1": "#b85000", "c2": "#00795a", "c3": "#a8447f", "c4": "#7d6200", "c5": "#2f6fd0",
    "c6": "#6b4fb3", "c7": "#5b6570",
}  # fmt: skip
DARK = {
    "page": "#0f1419", "text": "#e6edf3", "muted": "#9aa5b1", "line": "#303a45", "panel": "#171d25",
    "failed": "#ff6b6b",
    "c0": "#56b4e9", "c1": "#f0a35e", "c2": "#3ecf9f", "c3": "#e39cc4", "c4": "#e6d44a", "c5": "#8ab0ff",
    "c6": "#bca6f5", "c7": "#aab4bf",
}  # fmt: skip


def _variables(colours: dict[str, str]) -> str:
    return "".join(f"--{name}:{value};" for name, value in colours.items())


# Lines of one chart differ by more than their colour.
_DASHES = {1: "7 3", 2: "2 3", 3: "9 3 2 3", 4: "12 4", 5: "4 4", 6: "1 4", 7: "9 3 2 3 2 3"}

STYLE = (
    f":root{{color-scheme:light dark;{_variables(LIGHT)}}}"
    f"@media(prefers-color-scheme:dark){{:root{{{_variables(DARK)}}}}}"
    + "".join(f".c{number}{{--c:var(--c{number})}}" for number in range(8))
    + "".join(f".mean.c{number}{{stroke-dasharray:{dash}}}" for number, dash in _DASHES.items())
    + """
*{box-sizing:border-box}
:root{--ground:var(--page);--shade:color-mix(in srgb,var(--text) 40%,transparent)}
body{margin:0 auto;max-width:75rem;padding:1.25rem;background:var(--page);color:var(--text);
font:1rem/1.5 system-ui,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:0 0 .25rem}
h2{font-size:1.15rem;line-height:1.3;margin:2.25rem 0 .5rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}
section:not(:first-child){margin-top:3rem}
p{margin:.25rem 0 .5rem}
a{color:var(--c0)}
small,.note,figcaption,caption,.facts dt{color:var(--muted)}
small{font-size:.8125rem}
.note,figcaption,caption{font-size:.875rem}
.verdict small{display:block}
figcaption b{color:var(--text);font-size:1rem;margin-right:.35rem}
.verdict{--ground:var(--panel);border-left:.3rem solid var(--c1);background:var(--ground);padding:.6rem .9rem;
margin:1rem 0}
.verdict b{display:block}
figure{margin:1.5rem 0}
figcaption{margin-bottom:.5rem}
.line{display:grid;grid-template-columns:13rem minmax(0,1fr);gap:0 .75rem;margin-bottom:.3rem}
.label{font-size:.875rem;line-height:1.25;min-width:0}
.label b{font-weight:600}
.label:has(+.tall){padding-right:3.5rem}
.plot{position:relative;background:var(--panel);border-radius:.2rem;min-width:0}
.plot svg{display:block;width:100%;height:100%;overflow:hidden}
.grid{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke;fill:none}
.band{fill:var(--c);fill-opacity:.22;stroke:var(--c);stroke-opacity:.45;stroke-width:1;vector-effect:non-scaling-stroke}
.mean{fill:none;stroke:var(--c);stroke-width:1.75;vector-effect:non-scaling-stroke;stroke-linecap:round;
stroke-linejoin:round}
.bar{fill:var(--c)}
.bar.none{fill:var(--line)}
.bar.failed{fill:var(--failed)}
.bar.running{fill-opacity:.55}
.value{position:absolute;right:100%;margin-right:.4rem;transform:translateY(-50%);font-size:.75rem;line-height:1;
color:var(--muted);white-space:nowrap}
.axis{position:relative;height:1.15rem;font-size:.75rem;line-height:1.15rem;color:var(--muted)}
.axis span{position:absolute;transform:translateX(-50%);white-space:nowrap}
.axis .begin{transform:none}
.axis .end{transform:translateX(-100%)}
.legend{list-style:none;margin:.3rem 0 0;padding:0;font-size:.8125rem;color:var(--muted)}
.legend li{display:flex;align-items:center;min-width:0}
.key{flex:none;width:1.9rem;height:.6rem;margin-right:.4rem}
details{margin:.25rem 0}
summary{cursor:pointer;color:var(--muted);font-size:.875rem;padding:.2rem 0}
.table{overflow-x:auto;margin:.5rem 0 1rem;background:
linear-gradient(to right,var(--ground) 40%,transparent) left/2.5rem 100%,
linear-gradient(to left,var(--ground) 40%,transparent) right/2.5rem 100%,
linear-gradient(to right,var(--shade),transparent) left/1rem 100%,
linear-gradient(to left,var(--shade),transparent) right/1rem 100%,var(--ground);
background-repeat:no-repeat;background-attachment:local,local,scroll,scroll,local}
table{border-collapse:collapse;font-size:.875rem;line-height:1.35;min-width:20rem}
caption{text-align:left;padding:.2rem 0}
th,td{text-align:left;padding:.25rem .9rem .25rem 0;border-bottom:1px solid var(--line);vertical-align:top;
overflow-wrap:normal}
td:not(.number),tbody th{overflow-wrap:break-word;min-width:8rem;max-width:24rem}
thead th,.number{white-space:nowrap;max-width:24rem;overflow:hidden;text-overflow:ellipsis}
thead th{font-weight:600;color:var(--muted)}
tbody th{font-weight:600}
.number{text-align:right;font-variant-numeric:tabular-nums}
.facts{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.15rem 1rem;margin:.75rem 0;font-size:.9375rem}
.facts dt,.facts dd{margin:0}
.matrix td{padding:1px;min-width:2.2rem}
.matrix thead th{padding-right:.5rem}
.cell{display:block;padding:.25rem .5rem}
:focus-visible{outline:2px solid var(--c0);outline-offset:2px}
@media(max-width:45rem){
body{padding:.9rem}
.line{grid-template-columns:minmax(0,1fr)}
.label,.label:has(+.tall){margin:.3rem 0 .15rem;padding:0}
.plot,.axis{margin-left:2.9rem}
.label:empty{margin:0}
.axis .odd{display:none}
}
@media print{.plot,.bar,.band,.verdict{print-color-adjust:exact}}
"""
)
