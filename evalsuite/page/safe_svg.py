"""What of an <svg> element goes into a page: the shapes and the text that Matplotlib writes, and nothing else.

A plot may come from a file (`evalsuite report` reads the sections that other commands left), so its text is never
copied: it is parsed, what is on the lists below is written anew, and the rest is left out and named in a warning.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from xml.etree import ElementTree

from markupsafe import Markup

from dermforge.common.errors import DataWarning, UserError

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_ELEMENTS = {"svg", "g", "defs", "path", "use", "clipPath", "rect", "circle", "line", "polyline", "polygon", "text"}
_ELEMENTS |= {"tspan", "title", "desc"}
_STYLE = "*{stroke-linejoin: round; stroke-linecap: butt}"  # the one <style> of Matplotlib
_TEXTS = {"aria-label"}  # any text
_PLAIN = {"id", "role", "version", "viewBox", "width", "height", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "d"}
_PLAIN |= {"points", "transform", "clip-path"}
_PROPERTIES = {"fill", "fill-opacity", "fill-rule", "stroke", "stroke-width", "stroke-opacity", "stroke-linecap"}
_PROPERTIES |= {
    "stroke-linejoin",
    "stroke-dasharray",
    "stroke-dashoffset",
    "stroke-miterlimit",
    "opacity",
    "text-anchor",
}
_PROPERTIES |= {"font", "font-size", "font-family", "font-style", "font-weight", "font-stretch", "font-variant"}
#: Words and numbers, functions that move, and references into the plot itself; no other addresses.
_VALUE = re.compile(r"(?:url\(#[\w.-]+\)|(?:rotate|translate|scale|matrix)\([\d\s.,e+-]*\)|[\w\s#.,'%+-])*+")
_INSIDE = re.compile(r"#[\w.-]+")


def safe_svg(svg: str) -> Markup:
    """An <svg> element with only what is on the lists.

    Raises
    ------
    UserError
        It is not one well-formed <svg> element, or has a document type.
    """
    expected = "expected an <svg> element as evalsuite writes it: run the command that drew the plot again"
    if "<!" in svg:
        raise UserError(f"a plot holds a document type, a comment or a CDATA section; {expected}")
    try:
        root = ElementTree.fromstring(svg)
        if root.tag != f"{_SVG}svg":
            raise UserError(f"a plot is a <{root.tag}>; {expected}")
        left_out = sorted(set(_clean(root)))
        root.attrib = {"xmlns": _SVG[1:-1], "xmlns:xlink": _LINK[1:].partition("}")[0], **root.attrib}
        clean = Markup(ElementTree.tostring(root, encoding="unicode"))
    except (ElementTree.ParseError, RecursionError, ValueError) as error:
        raise error if isinstance(error, UserError) else UserError(f"a plot is broken ({error}); {expected}") from error
    if left_out:
        said = ", ".join(left_out[:5])
        warnings.warn(
            f"a plot held what no plot of evalsuite has, and it was left out: {said}", DataWarning, stacklevel=2
        )
    return clean


def _clean(element: ElementTree.Element) -> Iterator[str]:
    """Remove from an element, and from those in it, what is not on the lists; yields the names of it."""
    element.tag = element.tag.removeprefix(_SVG)
    found = dict(element.attrib)
    element.attrib = {}
    for name, value in found.items():
        if _is_safe(name, value):
            element.set("xlink:href" if name == _LINK else name, value)
        else:
            yield f"{name.rpartition('}')[2]} of <{element.tag}>"
    for child in list(element):
        name = child.tag.removeprefix(_SVG)
        if name == "style" and child.text == _STYLE and not len(child):
            child.tag, child.attrib = name, {"type": "text/css"}
        elif name in _ELEMENTS:
            yield from _clean(child)
        else:
            yield f"<{name.rpartition('}')[2]}>"
            element.remove(child)


def _is_safe(name: str, value: str) -> bool:
    if name in _TEXTS:
        return True
    if name == _LINK:
        return _INSIDE.fullmatch(value) is not None
    if name == "style":
        pairs = [part.partition(":") for part in value.split(";") if part.strip()]
        return all(key.strip() in _PROPERTIES and _VALUE.fullmatch(given) for key, _, given in pairs)
    return name in _PLAIN | _PROPERTIES and _VALUE.fullmatch(value) is not None
