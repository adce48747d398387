"""Pages that are written: what did not change is not touched, so that a build without changes is fast."""

from pathlib import Path

DOCS = Path(__file__).parents[1]
CACHE = DOCS / "_cache"


def written(folder, pages):
    """Make a folder hold these pages, name -> text or bytes, and nothing else."""
    files = {folder / name: text if isinstance(text, bytes) else text.encode() for name, text in pages.items()}
    for path in folder.rglob("*"):
        if path.is_file() and path not in files:
            path.unlink()
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


def kept(file, content):
    """Put bytes into the cache: the file is whole or not there."""
    file.parent.mkdir(exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(file)
