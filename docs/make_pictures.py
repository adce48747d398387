"""Pictures of the start page and the README, from notebooks that were run in full: python docs/make_pictures.py"""

import base64
import io
import sys
from pathlib import Path

from PIL import Image, ImageChops

sys.path.insert(0, str(Path(__file__).parent))

from making import notebooks
from making.files import DOCS

CHOSEN = {"dose": ("five_minutes", 4), "hospital": ("hospital_profile", 3), "samples": ("design_of_a_study", 3)}
LARGEST = (640, 480)  # pixels


def small(picture):
    """A picture in base64 as a PNG file without its margins, with few colours."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        plain = image.convert("RGB")
    drawn = ImageChops.difference(plain, Image.new("RGB", plain.size, "white")).getbbox()
    plain = plain.crop(drawn)
    plain.thumbnail(LARGEST, Image.Resampling.LANCZOS)
    content = io.BytesIO()
    plain.quantize(64).save(content, "PNG", optimize=True)
    return content.getvalue()


def main():
    found = {notebook.name: notebook for notebook in notebooks.runnable()}
    for name, (notebook, number) in CHOSEN.items():
        cells, length = notebooks.best(found[notebook])
        if length != "full":
            sys.exit(f"{notebook} was not run in full; run: python docs/build.py {notebook}")
        (DOCS / "pictures" / f"{name}.png").write_bytes(small(notebooks.pictures(cells)[number - 1]))


if __name__ == "__main__":
    main()
