"""Links between files of the repository, and to pictures, as links of the site.

Documents are read in the repository, too, so their links are paths there.
"""

from __future__ import annotations

import posixpath
import re

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/gpu/README.md": "benchmarks/gpu.md",
}
"""The files outside docs/ that are pages of the site, and as which."""

_FILES = {"benchmarks/gpu/h100-pytorch.json"}
"""Files that are named by a link and are no page: their name stays, without a link."""

_LINK = re.compile(r"\[([^\[\]]*)\]\(([^)\s#]+)(#[^)\s]*)?\)")
_ELSEWHERE = re.compile(r"[a-z][a-z+.-]*:")
_SOURCES = {page: source for source, page in PAGES.items()}


def rewritten(markdown: str, page: str) -> str:
    """The text of the page with links that hold in the site. One to a file that the site lacks stays as it is, and
    mkdocs refuses it."""
    source = _SOURCES.get(page, f"docs/{page}")
    return _LINK.sub(lambda link: _link(link, source, page), markdown)


def _link(link: re.Match[str], source: str, page: str) -> str:
    text, target, anchor = link.groups(default="")
    if _ELSEWHERE.match(target):
        return link[0]
    named = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    if named in _FILES:
        return text
    place = PAGES.get(named, named.removeprefix("docs/"))
    return f"[{text}]({posixpath.relpath(place, posixpath.dirname(page) or '.')}{anchor})"
