"""A fit: pilot, starts, parametrisation, compiled sampling, approximations, resuming, draws on disk."""
