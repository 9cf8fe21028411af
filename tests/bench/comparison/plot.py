"""The plot: tokens a second against sessions at once, both axes logarithmic, as SVG. Pure."""

import math
from xml.sax.saxutils import escape

from comparison.cells import CELLS
from comparison.results import summaries

_WIDTH, _HEIGHT = 920, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 330, 56, 60
_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#aa3377", "#bbbbbb", "#777777", "#004488", "#997700")
_OUR_COLOURS = ("#cc3311", "#ee7733", "#882255", "#dd5599")


def lines(document):
    """{peer: [(sessions, tokens a second)]} of the replies, rising."""
    found = {}
    for name, of_cell in summaries(document).items():
        if CELLS[name].kind == "reply":
            for peer, one in of_cell.items():
                found.setdefault(peer, []).append((CELLS[name].sessions, one.rate))
    return {peer: sorted(points) for peer, points in found.items()}


def ticks(least, most):
    """1, 2 and 5 times powers of ten that span both."""
    steps = [digit * 10.0**power for power in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
             for digit in (1, 2, 5)]
    low = max(step for step in steps if step <= least)
    high = min((step for step in steps if step >= most), default=steps[-1])
    return [step for step in steps if low <= step <= high]


class _Axis:
    def __init__(self, least, most, begin, end):
        self._low, self._begin = math.log(least), begin
        self._scale = (end - begin) / ((math.log(most) - self._low) or 1)

    def __call__(self, value):
        return round(self._begin + (math.log(value) - self._low) * self._scale, 1)


def _text(x, y, text, anchor="middle", extra=""):
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}"{extra}>{escape(text)}</text>'


def _grid(x, y, sessions, rates):
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    for rate in rates:
        yield f'<line x1="{left}" y1="{y(rate)}" x2="{right}" y2="{y(rate)}" stroke="#dddddd"/>'
        yield _text(left - 8, y(rate) + 4, f"{rate:,.0f}", "end")
    for number in sessions:
        yield f'<line x1="{x(number)}" y1="{top}" x2="{x(number)}" y2="{bottom}" stroke="#eeeeee"/>'
        yield _text(x(number), bottom + 20, str(number))
    yield _text((left + right) / 2, bottom + 44, "sessions at once")


def _line(x, y, points, colour, width):
    at = " ".join(f"{x(sessions)},{y(rate)}" for sessions, rate in points)
    yield f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="{width}"/>'
    yield from (f'<circle cx="{x(sessions)}" cy="{y(rate)}" r="{width + 1}" fill="{colour}"/>' for sessions, rate in points)


def svg(document):
    """None where no replies were measured."""
    found = lines(document)
    if not found:
        return None
    ours = [name for name in found if name in document["ours"]]
    sessions = sorted({point[0] for points in found.values() for point in points})
    rates = ticks(*(f(point[1] for points in found.values() for point in points) for f in (min, max)))
    x = _Axis(sessions[0], sessions[-1], _LEFT, _WIDTH - _RIGHT)
    y = _Axis(rates[0], rates[-1], _HEIGHT - _BOTTOM, _TOP)
    machine = document["machine"]
    shapes = [_text(_LEFT, 24, "Tokens a second, all sessions together", "start", ' font-size="16" font-weight="bold"'),
              _text(_LEFT, 43, f"{machine['cpu']}, {machine['threads']} threads, commit {machine['commit']}", "start"),
              *_grid(x, y, sessions, rates)]
    others = iter(_COLOURS * 4)
    own = iter(_OUR_COLOURS * 4)
    by_last = sorted(found.items(), key=lambda item: -item[1][-1][1])
    for row, (name, points) in enumerate(by_last):
        colour, width = (next(own), 3) if name in ours else (next(others), 1.5)
        shapes += _line(x, y, points, colour, width)
        legend = _TOP + 12 + 22 * row
        shapes.append(f'<rect x="{_WIDTH - _RIGHT + 20}" y="{legend - 8}" width="18" height="{width + 1}" fill="{colour}"/>')
        shapes.append(_text(_WIDTH - _RIGHT + 46, legend - 2, f"{name} ({points[-1][1]:,.0f} at {points[-1][0]})", "start"))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
            'font-family="DejaVu Sans, Verdana, sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n'
            + "\n".join(shapes) + "\n</svg>\n")
