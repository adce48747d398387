"""Arguing with a fitted model: residuals, predictive checks, and what check finds; on trees and on numbers."""
