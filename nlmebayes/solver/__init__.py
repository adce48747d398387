"""Compiled solvers: the amounts of a system of compartments at every record, and their exact derivatives."""
