"""Systems of ordinary differential equations, compiled law by law."""
