"""Draw the requests per second of a run as an SVG bar chart."""

from __future__ import annotations

import statistics
from html import escape

from contestants import TITLES
from results import Results, format_rate
from work import CASES

_COLORS = {
    "gateway": "#0b6e4f",
    "limit": "#9aa5b1",
    "postgraphile": "#3867d6",
    "mercurius": "#8854d0",
    "dataloaders": "#d35400",
}
_WIDTH, _LEFT, _RIGHT = 820, 210, 120
_BAR, _GAP, _HEAD = 18, 5, 34


def plot(results: Results) -> str:
    """Return an SVG with bars of requests per second, a group for each case."""
    parts: list[str] = []
    top = 44.0
    for case in CASES:
        rates = {
            name: statistics.median(results.rates[case.name][name])
            for name in TITLES
            if results.rates.get(case.name, {}).get(name)
        }
        if not rates:
            continue
        parts.append(f'<text x="16" y="{top + 20}" class="case">{escape(case.title)}</text>')
        top += _HEAD
        maximum = max(rates.values())
        for name, rate in rates.items():
            width = max(1.0, (_WIDTH - _LEFT - _RIGHT) * rate / maximum)
            label = top + _BAR - 5
            parts.append(
                f'<text x="{_LEFT - 8}" y="{label}" class="name">{escape(_short(name))}</text>'
                f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}"'
                f' fill="{_COLORS[name]}"/>'
                f'<text x="{_LEFT + width + 8:.1f}" y="{label}">{format_rate(rate)}</text>'
            )
            top += _BAR + _GAP
        top += 10
    height = top + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}"'
        f' width="{_WIDTH}" height="{height:.0f}" role="img">\n'
        "<title>Requests per second</title>\n"
        "<style>text{font:13px system-ui,sans-serif;fill:#1f2933}"
        ".head{font-size:16px;font-weight:600}.case{font-weight:600}.name{text-anchor:end}</style>\n"
        '<rect width="100%" height="100%" fill="#fff"/>\n'
        '<text x="16" y="30" class="head">Requests per second, one server process,'
        f" {results.connections} connections (longer is better)</text>\n"
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _short(name: str) -> str:
    return TITLES[name].split(" (")[0].split(",")[0]
