"""Arguing with a fitted model: what check finds, and why."""
