"""Individual parameters with their links, priors by name, and the free variables of a graph that have them."""
