"""Jobs behind the command line."""
