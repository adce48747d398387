"""Numbers from draws: the graph evaluated for many draws, prediction and its scatter, trees as they are stored and read."""
