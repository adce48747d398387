"""`fit`: a pilot, the parametrisation that follows from it, then compiled NUTS (nutpie, Numba or JAX backend)."""

from nlmebayes.arguments import Count, File, Seed, Share, Switch, Tree, checked
from nlmebayes.errors import ModelError
from nlmebayes.inference.estimation import estimated
from nlmebayes.inference.methods import MAXIMA, Backend, Method, check_approximable
from nlmebayes.model.model import Data, Model
from nlmebayes.runtime.imports import imported
from nlmebayes.runtime.spread import Client


@checked
def fit(
    model: Model, data: Data, *, draws: Count = 1000, tune: Count = 1000, chains: Count = 4, cores: Count | None = None,
    random_seed: Seed | None = None, progressbar: Switch = True, target_accept: Share | None = None,
    backend: Backend = "numba", method: Method = "nuts", resume: Tree | Switch | None = None, store: File | None = None,
    client: Client | None = None, **options: object,
) -> Tree:  # fmt: skip
    """Sample the posterior of ``model`` on ``data``.

    A pilot finds where the chains start and in which parametrisation the random effects are sampled; `check` tells
    which, and why. Interrupted (Ctrl-C, the stop button), it returns the draws so far with a warning.

    Parameters
    ----------
    model : Model
    data : Dataset
    draws, tune, chains, cores : int
        Kept draws and warm-up per chain; number of chains, and how many run at once (by default all cores).
    random_seed : int, optional
        The same seed on the same machine and versions gives the same draws.
    progressbar : bool
    target_accept : float, optional
        By default 0.8 where all random effects are transported, 0.9 elsewhere; where more than 1 of 2,000 draws
        diverge, all are drawn anew at 0.95, and then at 0.99, with a warning. One that is given stays.
    backend : {"numba", "jax"}
        What compiles the log-density; "jax" is for accelerators, see `sampler`.
    method : {"nuts", "map", "laplace", "pathfinder", "ml", "reml"}
        Approximations, for exploration and simulation studies, are ``"laplace"``, a normal law at the posterior mode,
        and ``"pathfinder"``; `check` names them as such, with the k-hat of their weights. The others are no posterior
        but one population, with the random effects integrated out: one draw, with the most probable effects, standard
        errors in the group ``estimates``, and -2LL. ``"ml"`` is the likeliest one whatever the priors, ``"reml"`` that
        of a linear mixed model with the fixed effects integrated out, ``"map"`` the most probable one under the priors
        (of SDs, correlations and scales on their natural scale).
    resume : DataTree or True, optional
        A tree of the same fit: its chains go on where they ended, after another ``tune`` steps, and the new draws are
        appended. True, with ``store``: the chains of a fit that was killed go on from what is on disk, if there is
        anything, until each has ``draws``.
    store : path, optional
        A new folder for the tree, in which the draws are written as they come (zarr): memory then does not grow with
        draws times subjects. The tree that is returned reads from it; so does `load`.
    client : distributed.Client, optional
        Whose workers draw the chains, each on its own, after ``pip install "nlmebayes[dask]"``: the draws are those of
        this machine with the same seed, if processors and versions are the same. A chain whose worker is lost is drawn
        again. With ``store``, the folder must be on a disk that the workers have too.
    **options
        Passed on to ``nutpie.sample``.

    Returns
    -------
    DataTree
        Groups ``posterior``, ``sample_stats``, ``posterior_predictive``, ``log_likelihood``, ``observed_data``,
        ``constant_data``, and ``dataset`` with what prediction needs in another process. `save` writes it to a file,
        `load` reads it.

    Raises
    ------
    FormulaError, DataError, ModelError
        Before anything is sampled.

    Examples
    --------
    The posterior of a linear mixed model, by two short chains:

    >>> import nlmebayes as nb
    >>> from model_zoo import LinearMixed
    >>> model = nb.Model(LinearMixed(), "mu ~ 1 + (1|Batch)")
    >>> tree = nb.fit(model, nb.datasets.dyestuff(), draws=100, tune=100, chains=2, random_seed=1, progressbar=False)
    >>> dict(tree["posterior"]["eta_Batch"].sizes)
    {'chain': 2, 'draw': 100, 'Batch': 6, 'Batch_effect': 1}

    The likeliest population, which takes no sampling:

    >>> tree = nb.fit(model, nb.datasets.dyestuff(), method="ml")
    >>> nb.summary(tree).set_index("quantity")["mean"].round(1)
    quantity
    mu                1527.5
    omega_Batch mu      37.3
    sigma_Yield_a       49.5
    Name: mean, dtype: float64
    """
    check_approximable(method, backend)
    if client is not None and method != "nuts":
        raise ModelError(f"fit: {method!r} is one search, in this process; client= is for the chains of 'nuts'")
    if options:
        _sampling("compilation").check_options(options, fit)
    if store is not None or resume is not None:
        streaming = _sampling("streaming")
        streaming.check(store, method, resume)
        before = streaming.beginning(store) if resume is True else resume
        if before is not None:
            _sampling("resuming").same_fit(model, data, before)
    if method in MAXIMA:
        return estimated(model, data, method, random_seed=random_seed)
    ready = _sampling("sampler").sampler(model, data, backend=backend)
    if method != "nuts":
        return ready.approximate(method, draws=draws, paths=chains, random_seed=random_seed)
    return ready.sample(
        draws=draws, tune=tune, chains=chains, cores=cores, random_seed=random_seed, progressbar=progressbar,
        target_accept=target_accept, resume=resume, store=store, client=client, **options,
    )  # fmt: skip


def _sampling(name):
    """A module of what samples: these take long to import, and a maximum needs none of them."""
    return imported(f"nlmebayes.inference.{name}")
