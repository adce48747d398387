"""How kernels are compiled, called and kept; what more than one solver reads: doses, lanes, small linear equations."""
