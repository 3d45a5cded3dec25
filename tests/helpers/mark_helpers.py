"""Images with marks, ours and those of others."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image
from shards_helpers import picture

from shards.format.images import encode_image
from shards.format.mark import Mark

DRAWN = Mark("trainedAlgorithmicMedia", digest="5e" * 32)
#: As an image generator of another maker writes it: elements in place of attributes.
FOREIGN = b"""<?xpacket begin='' id='W5M0MpCehiHzreSzNTczkc9d'?>
<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:RDF xmlns:rdf='http://www.w3.org/1999/02/22-rdf-syntax-ns#'>
 <rdf:Description rdf:about='' xmlns:Iptc4xmpExt='http://iptc.org/std/Iptc4xmpExt/2008-02-29/'>
  <Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/%s</Iptc4xmpExt:DigitalSourceType>
 </rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end='w'?>"""


def drawn(seed: int, fmt: str = "png", mark: Mark | None = DRAWN) -> bytes:
    """A picture, encoded and marked."""
    return encode_image(picture(seed), fmt, mark=mark)


def of_another_tool(fmt: str, word: str = "trainedAlgorithmicMedia", seed: int = 0) -> bytes:
    """A picture that Pillow wrote with somebody's XMP."""
    xmp, image, out = FOREIGN % word.encode(), Image.fromarray(picture(seed)), io.BytesIO()
    more: dict[str, Any] = {} if fmt == "GIF" else {"xmp": xmp}
    if fmt == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode(), zip=True)
        more = {"pnginfo": info}
    elif fmt == "TIFF":
        more = {"tiffinfo": {700: xmp}}
    image.save(out, fmt, **more)
    if fmt == "GIF":  # Pillow writes none: an application's block, with Adobe's ending
        ending = bytes([1, *range(255, -1, -1), 0])
        data = out.getvalue()
        at = 13 + 3 * 2 ** (data[10] % 8 + 1)  # behind the colours
        return b"GIF89a" + data[6:at] + b"\x21\xff\x0bXMP DataXMP" + xmp + ending + data[at:]
    return out.getvalue()
