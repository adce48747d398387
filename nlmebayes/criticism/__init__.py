"""Is the model right? Residuals and predictive checks, on trees and on numbers from anywhere."""
