"""Numbers from draws: the graph evaluated for many draws at once, prediction, trees as they are stored and read."""
