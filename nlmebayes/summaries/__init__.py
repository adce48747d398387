"""What a posterior says, in tables: the population, the variance of each level, the order of groups."""
