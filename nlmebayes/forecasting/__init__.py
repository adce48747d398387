"""New patients: the population as prior, few samples as data, one patient or thousands, visit after visit."""
