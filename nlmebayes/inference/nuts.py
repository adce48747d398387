"""nutpie and what is used of its inside, imported without ArviZ's plots, which take half a second."""

from nlmebayes.runtime.imports import imported_with

nutpie = imported_with("nutpie", needed="arviz", instead="arviz_base")
compile_pymc, PyNutsSettings = nutpie.compile_pymc, nutpie._lib.PyNutsSettings
