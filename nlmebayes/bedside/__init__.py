"""The page at the bedside: a local server for one patient at a time, who stays on this machine."""
