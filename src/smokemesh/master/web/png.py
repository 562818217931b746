"""A picture as PNG, drawn from its SVG by resvg: no system library is needed, only fonts for the words."""

from typing import Final

from smokemesh.errors import StoreError

#: Pixels of the PNG for each of the SVG.
ZOOM: Final = 2.0


def render(svg: str) -> bytes:
    """The PNG of an SVG document."""
    # Imported here: it takes a while, and most masters never draw a PNG.
    import resvg_py

    try:
        return bytes(resvg_py.svg_to_bytes(svg_string=svg, zoom=ZOOM, languages=["en", "zh"]))
    except ValueError as error:
        raise StoreError(f"the picture could not be drawn: {error}") from error
