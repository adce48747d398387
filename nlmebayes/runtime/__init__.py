"""What compiled code needs around it: its caches on disk, and one thread at a time where PyTensor knows no other."""
