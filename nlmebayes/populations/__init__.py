"""Populations that papers state: their words for spread, the tree they become, those that are shipped."""
