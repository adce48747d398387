"""Structures: parameters + doses + times -> prediction."""
