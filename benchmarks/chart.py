"""The ratios to schwab-py as bars in one SVG, written by hand: readable on light and dark pages, no library."""

from typing import Any
from xml.sax.saxutils import escape

from benchmarks.rig import Client

WIDTH, LEFT, RIGHT = 860, 270, 90
BAR, GAP, SECTION, TOP, BOTTOM = 20, 5, 18, 56, 34
COLOURS = {Client.PUBLISHING: "#2f81c7", Client.DEFAULT: "#d9822b"}
WANTED = {
    ("l1", Client.PUBLISHING): 20,
    ("l1", Client.DEFAULT): 10,
    ("one", Client.PUBLISHING): 12,
    ("one", Client.DEFAULT): 8,
    ("book", Client.PUBLISHING): 10,
    ("book", Client.DEFAULT): 8,
}
_STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 } .small { font-size: 11px; fill: #6e7781 }
  line { stroke: #8c959f } .wanted { stroke: #cf222e; stroke-width: 2 }
  @media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .small { fill: #9198a1 } }
"""


def draw(results: dict[str, Any]) -> str:
    """The chart of what ``versus.run`` returned; floods only, for their ratio of events/s is the point."""
    floods = [(name, result) for name, result in results.items() if (name, Client.DEFAULT) in WANTED]
    ratios = [_ratio(result, client) for _, result in floods for client in COLOURS]
    longest = max([ratio["most"] for ratio in ratios] + [20.0])
    scale = (WIDTH - LEFT - RIGHT) / longest
    parts, y = ['<text class="title" x="12" y="24">Events/s, times schwab-py and redis.publish</text>'], TOP
    for name, result in floods:
        parts.append(f'<text x="12" y="{y + BAR + 6}">{escape(result["title"])}</text>')
        for client, colour in COLOURS.items():
            parts += _bar(_ratio(result, client), WANTED[name, client], y, scale, colour)
            y += BAR + GAP
        y += SECTION
    parts.append(f'<line x1="{LEFT}" y1="{TOP - 8}" x2="{LEFT}" y2="{y - SECTION}"/>')
    x = LEFT
    for client, colour in COLOURS.items():
        parts.append(f'<rect x="{x}" y="{y - 2}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text class="small" x="{x + 18}" y="{y + 8}">{client}</text>')
        x += 140
    parts.append(f'<line class="wanted" x1="{x}" y1="{y - 4}" x2="{x}" y2="{y + 12}"/>')
    parts.append(f'<text class="small" x="{x + 8}" y="{y + 8}">wanted; thin lines: least and most of all runs</text>')
    height = y + BOTTOM
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
    return "\n".join([head, f"<style>{_STYLE}</style>", *parts, "</svg>", ""])


def _ratio(result: dict[str, Any], client: Client) -> dict[str, float]:
    ratio: dict[str, float] = result["clients"][client]["events_per_s_ratio"]
    return ratio


def _bar(ratio: dict[str, float], wanted: int, y: int, scale: float, colour: str) -> list[str]:
    middle, end = y + BAR / 2, LEFT + ratio["median"] * scale
    least, most, mark = (LEFT + value * scale for value in (ratio["least"], ratio["most"], wanted))
    return [
        f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR}" fill="{colour}"/>',
        f'<line x1="{least:.1f}" y1="{middle}" x2="{most:.1f}" y2="{middle}"/>',
        f'<line class="wanted" x1="{mark:.1f}" y1="{y - 2}" x2="{mark:.1f}" y2="{y + BAR + 2}"/>',
        f'<text x="{max(end, most, mark) + 8:.1f}" y="{middle + 5}">{ratio["median"]:.1f}×</text>',
    ]
