"""One individual, given a population: its density, modes, proposals and weighted draws, NUTS as the reference."""
