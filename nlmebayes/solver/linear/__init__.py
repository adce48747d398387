"""Linear compartments: the amounts at every record in closed form or by the matrix exponential, and the adjoint."""
