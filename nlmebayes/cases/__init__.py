"""One patient as he was entered, in a file or on a page, and the answer about him."""
