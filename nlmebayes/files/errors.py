"""`FileError`: a file that cannot be read or written, or that may not be."""


class FileError(ValueError):
    """A file that cannot be read or written, or that holds what no file of this library holds."""
