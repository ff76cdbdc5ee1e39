"""Write figures: equal figures give equal bytes, without date and without random identifiers."""

from __future__ import annotations

import io
import re
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescale_bench.errors import UsageError
from rescale_bench.machine.writing import reason
from rescale_bench.plots.style import FONT, RC

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 200
ENDINGS = (".png", ".svg")
LINES = "stroke-linejoin: round; stroke-linecap: butt"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG (200 dpi) or SVG, as the ending says. Raises UsageError for others and for the disk."""
    path = Path(path)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"{path} ends in none of {' '.join(ENDINGS)}", "output")
    content = svg(figure, standalone=True).encode() if path.suffix.lower() == ".svg" else png(figure)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {reason(error)}", "output") from None


def png(figure: Figure, dpi: float = DPI) -> bytes:
    """Render a figure as PNG."""
    from matplotlib import rc_context

    stream = io.BytesIO()
    with rc_context(RC):
        figure.savefig(stream, format="png", dpi=dpi, metadata={"Software": None})
    return stream.getvalue()


def svg(figure: Figure, standalone: bool = False) -> str:
    """Render a figure as an SVG element to be put into a page, or as a file of its own (standalone).

    It scales with its container, carries its title and subtitle as its accessible name, and keeps text as text;
    identifiers that nothing refers to are dropped, so that several figures fit into one page.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    stream = io.StringIO()
    with rc_context(RC):
        # Not savefig, which draws twice, for layouts that change in the first: ours are settled.
        canvas: Any = FigureCanvasSVG(figure)
        canvas.print_svg(stream, metadata={"Date": None, "Creator": None})
    text = stream.getvalue()
    head, element = text[: text.index("<svg")], text[text.index("<svg") :]
    referred = set(re.findall(r"""(?:url\(|href=")#([^)"]+)""", element))
    element = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in referred else "", element)
    element = re.sub(r"<metadata>.*?</metadata>", "", element, flags=re.DOTALL)
    # Where the page is read DejaVu may be missing; Verdana is the widely installed font of its width.
    element = element.replace(f"'{FONT}'", f"'{FONT}', Verdana, Arial, sans-serif")
    # A style sheet inside an inlined figure would reach the whole page; its two properties are inherited anyway.
    element = re.sub(r"<style[^>]*>.*?</style>", "", element, count=1, flags=re.DOTALL)
    name = escape(" – ".join(part.get_text().replace("\n", " ") for part in figure.texts[:2]))
    element = element.replace("<g>", f'<g style="{LINES}">', 1)
    element = element.replace("<svg", f'<svg role="img" aria-label="{name}"', 1)
    return head + element if standalone else element.rstrip("\n")
