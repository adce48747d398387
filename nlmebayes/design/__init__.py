"""Studies before they are run: what a design will tell, the best one, and studies simulated and fitted."""
