"""Pictures of the start page and the README, from notebooks that were run in full: python docs/make_pictures.py"""

import base64
import io
import sys
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))

from making import notebooks
from making.files import DOCS

CHOSEN = {"dose": ("one_compartment", 4), "hospital": ("hospital_profile", 3), "samples": ("design_of_a_study", 4)}
SIZE = (600, 420)  # pixels: the picture on a white sheet of one shape


def sheet(picture):
    """A picture in base64 as a PNG file of that size, with few colours."""
    with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
        image.thumbnail(SIZE, Image.Resampling.LANCZOS)
        whole = Image.new("RGB", SIZE, "white")
        whole.paste(image.convert("RGB"), ((SIZE[0] - image.width) // 2, (SIZE[1] - image.height) // 2))
    content = io.BytesIO()
    whole.quantize(64).save(content, "PNG", optimize=True)
    return content.getvalue()


def main():
    found = {notebook.name: notebook for notebook in notebooks.found()}
    for name, (notebook, number) in CHOSEN.items():
        cells, length = notebooks.best(found[notebook])
        if length != "full":
            sys.exit(f"{notebook} was not run in full; run: python docs/build.py {notebook}")
        (DOCS / "pictures" / f"{name}.png").write_bytes(sheet(notebooks.pictures(cells)[number - 1]))


if __name__ == "__main__":
    main()
