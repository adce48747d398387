"""Normal random effects given normal information on them, exactly."""
