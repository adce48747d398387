"""The statement of a model and the PyMC graph that it means: priors, the law of the population, transported effects."""
