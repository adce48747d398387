"""What the site is made of: pages written from the notebooks, the docstrings, the zoo and the command line."""
