"""All tests of a fit: of its residuals, and of its random effects."""

import numpy as np

from nlmebayes.criticism import exchangeability, independence
from nlmebayes.criticism.mends import Mends
from nlmebayes.criticism.replicates import Study
from nlmebayes.criticism.unused import columns_of
from nlmebayes.evaluation.evaluator import effects, spread
from nlmebayes.evaluation.fitted import Fitted

DRAWS = 100  # of the posterior, each of which has p-values of its own


def examined(known: Fitted):
    """Every `Doubt` on a fit; the same ones each time."""
    rng = np.random.default_rng(0)
    data, design = known.training_data, known.training
    study = Study(known.model, data, design, known.draws_of(data.outcomes))
    draws = spread(study.draws, min(DRAWS, study.draws.size))
    f = study.predictions(draws, effects(design, draws, rng))
    columns, mends = list(columns_of(data)), Mends(known.model, data, design, {name: x[0] for name, x in f.items()})
    return [
        *independence.doubts(known, draws, f, columns, mends, rng),
        *exchangeability.doubts(known, draws, columns, mends),
    ]
