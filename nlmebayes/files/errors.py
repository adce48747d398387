"""`FileError`: a file that cannot be read or written, or that may not be."""


class FileError(ValueError):
    """A file that cannot be read or written, or that holds what no file of this library holds.

    Examples
    --------
    >>> import nlmebayes as nb
    >>> nb.load("nowhere.nc")
    Traceback (most recent call last):
        ...
    nlmebayes.files.errors.FileError: no file 'nowhere.nc'
    """
