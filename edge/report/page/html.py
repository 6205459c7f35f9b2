"""The page as one file that needs nothing else: markup, style, scripts and data in it, and a policy that lets it load
nothing."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from typing import Any

from edge.report.page.numbers import in_script
from edge.report.page.packing import packed
from profiles.errors import ConfigError

HTML, CSS, JS = "page.html", "page.css", "page.js"
EXTRA = "pip install 'edgebench[report]'"


def plotly_js() -> str:
    """The library that draws. Errors: ConfigError without it, naming the extra."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise ConfigError("a report is drawn by plotly, which is not installed", where="report", fix=EXTRA) from None
    found: str = get_plotlyjs()
    return found


def asset(name: str) -> str:
    """A file that lies beside this one."""
    return (resources.files("edge.report.page") / name).read_text(encoding="utf-8")


def offline(document: Mapping[str, Any]) -> str:
    """Errors: ConfigError without plotly."""
    plotly, script = plotly_js(), asset(JS)
    policy = (
        f"default-src 'none'; script-src {_hashed(plotly)} {_hashed(script)}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    return filled(
        policy=f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        style=f"<style>{asset(CSS)}</style>",
        data=f'<script type="application/json" id="data">{in_script(packed(document))}</script>',
        scripts=f"<script>{plotly}</script>\n<script>{script}</script>",
    )


def served() -> str:
    """The page whose parts come from the server beside it."""
    scripts = '<script src="plotly.js"></script>\n<script src="page.js"></script>'
    return filled(policy="", style='<link rel="stylesheet" href="page.css">', data="", scripts=scripts)


def filled(**parts: str) -> str:
    """Each place of the template is filled once; what is filled in is looked at no more."""
    return re.sub(r"<!--\{(\w+)\}-->", lambda place: parts[place[1]], asset(HTML))


def _hashed(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
