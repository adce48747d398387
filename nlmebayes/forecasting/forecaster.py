"""`forecast`: the population as prior, the new patient's samples as data.

    p(s, z | y)  ∝  p(s) Normal(z; 0, 1) p(y | theta_s, eta = chol(Omega_s) z, sigma_s)

over population draws s and standardised random effects z of the groups that the tree does not know (the patient, its
occasions, an unseen site), so population uncertainty is included, and population draws that explain the patient better
count for more. The density is in the room of `individuals`, with its modes and the draws from it.
"""

import json
import logging
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from nlmebayes.arguments import Seed, Switch, Tree, checked
from nlmebayes.errors import ModelError, unheard, warn
from nlmebayes.evaluation import imputation, prediction, storage
from nlmebayes.evaluation.evaluator import Draws, middle
from nlmebayes.evaluation.fitted import REPORT, Fitted, fitted, said
from nlmebayes.evaluation.weights import KHAT
from nlmebayes.forecasting import nuts, plausibility
from nlmebayes.forecasting.options import Method, Options
from nlmebayes.forecasting.posterior import Labelled, alternatives, distance, prior_of, surprise, times
from nlmebayes.formula.design import Design, resolve
from nlmebayes.individuals import particles
from nlmebayes.individuals.density import Density
from nlmebayes.individuals.modes import QUICK, modes
from nlmebayes.individuals.sampling_times import with_nodes
from nlmebayes.model.agreement import check_names
from nlmebayes.model.build import by_node
from nlmebayes.model.model import Data, Model
from nlmebayes.outcomes.autocorrelation import shared
from nlmebayes.outcomes.hazards import WITHIN
from nlmebayes.populations.stated import ABOUT

if TYPE_CHECKING:
    from nlmebayes.data.dataset import Dataset
    from nlmebayes.individuals.modes import Mode

log = logging.getLogger("nlmebayes")

DEFAULTS = Options()
RARE = "samples like these are rare in this population"
ELSEWHERE = 0.05  # probability of other modes of which the mode and Laplace's approximation tell
UNSURE = 0.05  # standard error of a posterior mean, in posterior SDs, above which draws are doubted
SURPRISING = 0.001  # prior predictive p-value below which a patient is not of this population


@checked
def forecast(
    tree: Tree, patient: Data, *, method: Method = "auto", random_seed: Seed | None = None, model: Model | None = None,
    **options: Annotated[Any, Options],
) -> Tree:  # fmt: skip
    """Posterior of one new patient's parameters and curve, given 0, 1, 2 ... samples.

    Parameters
    ----------
    tree : DataTree
        A population: fitted, from `fit`, or published, from `population`.
    patient : Dataset
        The records of one new unit of the innermost level: its doses, covariates and samples. Its outer groups
        may be known to the tree (a known site keeps its effects). Without a sample yet, give the times of interest
        (``Dataset.from_nonmem(..., unmeasured="predict")``): the forecast is then the population's.
    method : {"auto", "map", "laplace", "importance", "nuts"}
        ``"map"``: the most probable effects under the mean population, one draw. ``"laplace"``: normal draws around
        the conditional mode of each population draw; its k-hat is reported without a warning. ``"importance"``: exact
        up to Monte Carlo error, with k-hat to tell. ``"nuts"``: a compiled sampler, the reference; exact for one
        population (`nuts` says what becomes of several, and of chains that stay in modes apart). ``"auto"``:
        importance, and NUTS where k-hat is above 0.7.
    random_seed : int, optional
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.
    **options
        draws : int
            Draws of the result, resampled by weight.
        proposals, rounds : int
            Particles of the first round, and the most further rounds of 10,000; none once the effective sample size is
            that of ``draws`` (or 2000) and k-hat is below 0.4.
        flatten : float
            Multiplies the variances of the random effects: above 1 the prior says less (a flattened prior).
        half_life : float, optional
            Weighs a sample down by half for each such time before the last one.
        drift : str, optional
            A level below the patient, such as an occasion, whose effects are a random walk: each group starts from the
            one before it with a step of variance Omega of that level.
        time_sd : float or str, optional
            SD of the error of the sampling times, in the unit of time, or the column that holds it (0 where a time is
            exact). The posterior integrates over the true times, which lie on the same side of every dose as the
            recorded ones (`sampling_times`); predictions are those at the recorded times.
        missing : {"refuse", "impute"}
            What becomes of a covariate of which the patient has no value: an error, or it is drawn from the
            population's covariates, given those that are known, and weighed by the samples (`imputation`). The tree
            then holds ``covariate_<name>``; its records stand at the median, and the intercepts of the draws hold the
            difference.
        now : float, optional
            The time of asking: a sample after it is refused, a dose after it is warned of.
        unusual : {"error", "warn"}
            What a sample is that is hundreds of times off the population's range, or positive before any dose.

    Returns
    -------
    DataTree
        As `fit` gives it, for this patient: ``posterior`` (population, ``eta_<level>``, individual parameters,
        ``f_<outcome>``), ``posterior_predictive``, ``prior`` (the same before the samples), ``observed_data``.
        `predict` on it gives any curve of this patient under any doses; `recommend` chooses among regimens.
        ``tree.attrs["nlmebayes_forecast"]`` holds as JSON: method and the options that change the density as given,
        effective sample size, k-hat, log evidence, the ``modes`` with their probabilities and parameters, with
        ``time_sd`` the posterior of the ``sampling_times``, and how far the patient is from the population: for each
        effect its posterior mean in SDs of the population (``z_scores``) and the share that its prior and posterior
        have in common (``overlap``), and the prior predictive p-value of all samples (``prior_p``; a warning below
        0.001).

    Raises
    ------
    ModelError
        The patient was in the training data, or there are several; records that cannot be right.

    Examples
    --------
    A published population, and one who had 100 mg and two samples:

    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
    >>> forecast = nb.forecast(tree, patient, random_seed=1)
    >>> forecast["posterior"]["cl"].quantile([0.05, 0.5, 0.95]).to_numpy().round(1).tolist()
    [2.8, 4.3, 5.4]

    What is measured at 24 h, and how far from the population this patient is:

    >>> later = nb.predict(forecast, patient.over(time=[24.0]), random_seed=1)
    >>> float(later["posterior_predictive"]["conc"].median().round(2))
    0.19
    >>> import json
    >>> told = json.loads(forecast.attrs["nlmebayes_forecast"])
    >>> {name: round(z, 1) for name, z in told["z_scores"].items()}
    {'id: cl': 1.1, 'id: v': 0.0}
    """
    return forecaster(tree, model=model).forecast(patient, method=method, random_seed=random_seed, **options)


def rare_allowed():
    """Without the warning of a patient who is rare in a population, a context."""
    return unheard(RARE)


@checked
def forecaster(tree: Tree, *, model: Model | None = None) -> "Forecaster":
    """A population made ready for many patients: reads model, design and draws once; see `Forecaster`.

    Parameters
    ----------
    tree : DataTree
        A population, from `fit` or `population`.
    model : Model, optional
        That of the tree, where its structure cannot be imported again; by default the one stored in it.

    Returns
    -------
    Forecaster

    Raises
    ------
    ModelError
        The tree was made with another model.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
    >>> ready = nb.forecaster(tree)
    >>> ready.forecast(patient, random_seed=1)["posterior"].sizes["draw"]
    2000
    """
    return forecaster_of(tree, model)


def forecaster_of(tree, model=None):
    """The same, as work that is spread over many processes has it."""
    known = fitted(tree, model)
    return Forecaster(known, storage.stored(known.training_data), known.draws_of(known.outcomes))


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A population ready for patients, from `forecaster`; its methods are `forecast` and `mode` without the reading.

    ``population`` are the draws of the tree; ``middle`` is one population, the mean of the draws on the link scale with
    the mean SDs and correlations of effects, under which modes are found.

    Attributes
    ----------
    known : Fitted
        The tree, read once.
    data : Dataset
        That the population was fitted to.
    population : Draws
        The draws of the tree.

    Examples
    --------
    >>> import pandas as pd, nlmebayes as nb
    >>> from model_zoo import OneCompartment
    >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
    ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
    >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
    >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
    >>> mode, target = nb.forecaster(tree).mode(patient)
    >>> target.effects(mode.z[:1, None], [0])["id"].round(1).ravel().tolist()
    [0.4, -0.0]
    """

    known: Fitted
    data: object  # the training dataset as it is stored
    population: Draws

    @property
    def model(self) -> Model:
        """The `Model` of the population."""
        return self.known.model

    @property
    def training(self) -> Design:
        """The `Design` of the data that the population was fitted to."""
        return self.known.training

    @cached_property
    def middle(self) -> Draws:
        """The mean population, `Draws` of size one."""
        return middle(self.population)

    @checked
    def target(self, patient: Data, options: Options = DEFAULTS, *, several: Switch = False) -> tuple[Density, Density]:
        """The `Density` of a patient's records under all draws, and under the mean population.

        Parameters
        ----------
        patient : Dataset
        several : bool
            Whether the target is also that of the records' true times and such; as `forecast` needs it.
        **options
            Those of `forecast` that change the density.

        Returns
        -------
        tuple of Density

        Raises
        ------
        ModelError
            As `forecast`.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
        >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
        >>> every, mean = nb.forecaster(tree).target(patient)
        >>> mean.population.size
        1
        """
        self.known.same_outcomes(patient)
        patient, law, _ = self._complete(patient, options.missing)
        nodes, plain = {}, None
        if options.time_sd is not None:
            for name in patient.outcomes:
                residual = self.model.residual_of(name)
                if residual.folds or residual.correlated:
                    what = f"has {residual}" if residual.correlated else "is the time of an event"
                    raise ModelError(f"forecast: {name} {what}, and time_sd= does not know an error of its times")
            plain = self._designed(patient, several)
            patient, nodes = with_nodes(patient, options.time_sd)
        design, unknown = self._designed(patient, several)
        labels = {level.name: level.labels for level in design.levels}
        model, asked = by_node(self.model, design)
        for o in design.outcomes:
            if o.nodes is not None and (o.nodes.seen == WITHIN).any():
                raise ModelError(
                    f"forecast: {o.name} has an event known to an interval, which it does not know; fit all patients "
                    "together"
                )
            if o.series is not None:
                self._check_series(o, options)
        weights, drift = _weights(asked, options.half_life), options.drift
        if drift is not None and drift not in patient.levels[patient.levels.index(patient.subject) + 1 :]:
            raise ModelError(f"forecast: drift={drift!r} is no level below {patient.subject}")
        pair = (self.population, None), (self.middle, None)
        if law is not None:
            drawn = imputation.imputed(self.model, design, self.population, law, np.random.default_rng(0))
            pair = drawn, (self.middle, imputation.at_medians(law))
        found = []
        for population, imputed in pair:
            known = population.of_groups(labels)
            if options.flatten != 1.0:
                omega = {name: value * np.sqrt(options.flatten) for name, value in known.omega.items()}
                known = replace(known, omega=omega)
            parts = asked, known, unknown, patient.subject, weights, drift, nodes, plain, imputed, design
            found.append(Density(model, *parts))
        return tuple(found)

    def _check_series(self, observed, options):
        """A patient's series are none of another's, whose measurements would be their past too, and count whole."""
        if options.half_life is not None:
            raise ModelError(
                f"forecast: {self.model.residual_of(observed.name)} says what samples of {observed.name} tell "
                "together, which half_life= does not know; leave it out"
            )
        for each in (observed, self.training.outcome(observed.name)):
            label = shared(each)
            if label is not None:
                raise ModelError(
                    f"forecast: the series {label} of {observed.name} is one of several patients, which a forecast "
                    "does not know: fit all of them together"
                )

    def _complete(self, patient, missing):
        """The patient with every covariate, the law of missing ones (`imputation`) or None, their medians by column."""
        factors = {name for f in self.training.formulas for term in f.groups for name in term.factors}
        read = [name for name in self.training.units.columns if name not in (*patient.levels, *factors)]
        lost = imputation.missing(patient, read) if missing == "impute" else {}
        if not lost:
            return patient, None, {}
        if patient.observations[patient.subject].nunique() > 1:
            raise ModelError("forecast: covariates are imputed for one patient at a time")
        if ABOUT in self.known.tree.attrs:
            law = imputation.stated(said(self.known.tree, ABOUT).get("covariates", {}))
        else:
            law = imputation.of_subjects(self.training.units, patient.subject, read)
        law = law.given(imputation.known(patient, read), lost)
        middle = {lost[name]: value for name, value in law.middle().items()}
        return imputation.filled(patient, middle), law, middle

    def _designed(self, patient, several):
        """The design of a patient's records, and its groups that the tree does not know."""
        design = resolve(self.model, patient, self.training)
        check_names(self.model, design)
        return design, plausibility.unknown_groups(design, self.population, patient, several=several)

    @checked
    def mode(self, patient: Data, **options: Annotated[Any, Options]) -> "tuple[Mode, Density]":
        """Most probable effects under the mean population, `modes.Mode`, and the target they belong to.

        Nothing is labelled: the quick way to a point estimate. ``target.effects(mode.z[:1, None], [0])`` gives eta.

        Parameters
        ----------
        patient : Dataset
        **options
            Those of `forecast` that change the density.

        Returns
        -------
        tuple of Mode and Density

        Raises
        ------
        ModelError
            As `forecast`.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
        >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
        >>> mode, target = nb.forecaster(tree).mode(patient)
        >>> mode.z[0].round(1).tolist()
        [1.4, -0.1]
        """
        _, central = self.target(patient, Options(**options))
        return modes(central, last=QUICK), central

    def check_samples(self, patient: "Dataset", options: Options) -> None:
        """Refuse, or warn of, samples that `forecast` would not take.

        Parameters
        ----------
        patient : Dataset
        options : Options
            Of `forecast`.

        Raises
        ------
        ModelError
            Samples that cannot be right.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
        >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
        >>> from nlmebayes.forecasting.options import Options
        >>> nb.forecaster(tree).check_samples(patient, Options())
        """
        target = self.target(patient, options)[0].recorded
        expected = prior_of(target, 1000, np.random.default_rng(0)).f
        plausibility.check_samples(target, patient, expected, refuse=options.unusual == "error")

    @checked
    def forecast(
        self,
        patient: Data,
        *,
        method: Method = "auto",
        random_seed: Seed | None = None,
        **options: Annotated[Any, Options],
    ) -> Tree:
        """As `forecast`.

        Parameters
        ----------
        patient, method, random_seed, **options
            As of the verb `forecast`.

        Returns
        -------
        DataTree

        Raises
        ------
        ModelError
            As the verb.

        Examples
        --------
        >>> import pandas as pd, nlmebayes as nb
        >>> from model_zoo import OneCompartment
        >>> tree = nb.population(OneCompartment(), theta={"cl": 3.0, "v": 40.0},
        ...                      omega={"sd": {"cl": 0.3, "v": 0.2}}, sigma={"b": 0.15})
        >>> records = pd.DataFrame({"id": "ann", "time": [0, 2, 8], "amt": [100, 0, 0], "dv": [None, 2.1, 0.9]})
        >>> patient = nb.Dataset.from_nonmem(records, outcome="conc")
        >>> forecast = nb.forecaster(tree).forecast(patient, random_seed=1)
        >>> float(forecast["posterior"]["cl"].median().round(1))
        4.3
        """
        options = Options(**options)
        plausibility.warn_outside(self.known.tree, patient)
        plausibility.check_now(patient, options.now)
        target, central = self.target(patient, options)
        rng = np.random.default_rng(random_seed)
        prior = prior_of(target, options.draws, rng)
        plausibility.check_samples(target.recorded, patient, prior.f, refuse=options.unusual == "error")
        whole, found = _drawn(method, target, central, options, rng)
        modes_ = alternatives(central, found)
        for doubt in _doubts(method, found, modes_, options.draws):
            warn(f"forecast of {patient.subject} {target.labels[0]}: {doubt}")
        chosen = np.zeros(1, dtype=int) if method == "map" else found.draws(options.draws, rng)
        posterior = Labelled(whole, found.which[chosen], found.z[chosen])
        return self._tree(patient, {"method": method, "modes": modes_} | options.density, prior, posterior, found, rng)

    def _tree(self, patient, told, prior, posterior, found, rng):
        target, model, n = posterior.target, self.model, len(posterior.which)
        sigma, exact = posterior.population.sigma, not target.nodes
        groups = {"posterior": posterior.dataset(moved=True)}
        past = {o.name: (o, posterior.f[o.name]) for o in target.recorded.reported.outcomes if o.series is not None}
        groups |= prediction.observe(
            model, target.recorded.reported, posterior.f, sigma, (1, n), rng, density=exact, past=past
        )
        for line in prediction.unsolved(target.recorded.reported, posterior.f):
            warn(f"forecast of {patient.subject} {target.labels[0]}: {line}")
        groups["prior"] = prior.dataset(moved=False)
        report = told | {
            "effective_sample_size": found.size if told["method"] != "map" else 1.0, "khat": found.khat,
            "log_evidence": found.log_evidence,
        }  # fmt: skip
        report |= distance(posterior, found) | {"prior_p": surprise(prior, rng)}
        report |= {} if exact else {"sampling_times": times(posterior)}
        report["unseen"] = plausibility.unseen(target.unknown, self.population.groups, patient)
        if report["prior_p"] is not None and report["prior_p"] < SURPRISING:
            warn(
                f"forecast of {patient.subject} {posterior.target.labels[0]}: {RARE} "
                f"(prior predictive p {report['prior_p']:.2g}); check the records, or try another one"
            )
        complete, _, middle = self._complete(patient, told["missing"])
        tree = storage.attached(groups, model, complete, self.data)
        if middle:
            tree.attrs[storage.IMPUTED] = json.dumps(middle)
        tree.attrs |= {key: value for key, value in self.known.tree.attrs.items() if key == ABOUT}
        tree.attrs[REPORT] = json.dumps(report)
        return tree


def _doubts(method, found, others, draws):
    """Why not to trust the draws, in words."""
    if found.khat > KHAT and method != "laplace":
        yield (
            f"k-hat {found.khat:.2f} is above {KHAT}, so the draws may be off; take more proposals, or check the "
            "patient's records"
        )
    elif method in ("auto", "importance", "nuts") and found.error > max(UNSURE, particles.UNEVEN / np.sqrt(draws)):
        yield (
            f"the draws are worth {found.size:.0f}, so posterior means may be off by {2 * found.error:.2g} posterior "
            "SDs; take more proposals or rounds"
        )
    if found.doubt:
        yield found.doubt
    elsewhere = sum(mode["probability"] for mode in others[1:])
    if method in ("map", "laplace") and elsewhere > ELSEWHERE:
        values = ", ".join(f"{name} {value:.3g}" for name, value in others[1]["parameters"].items())
        what = "the most probable effects are one of" if method == "map" else "Laplace's approximation weighs"
        yield (
            f"{what} {len(others)} modes, and others hold {100 * elsewhere:.0f} % of the probability, about "
            f'{values}; method="importance" weighs them exactly'
        )


def _weights(design, half_life):
    """Weight of each record's log-density, by outcome."""
    if half_life is None:
        return {}
    times = {o.name: o.inputs["time"] for o in design.outcomes if "time" in o.inputs}
    if not times:
        raise ModelError("forecast: half_life= weighs samples by their times, and these have none; leave it out")
    last = max(
        t[np.isfinite(o.values)].max(initial=-np.inf) for o, t in zip(design.outcomes, times.values(), strict=True)
    )
    return {name: 0.5 ** (np.maximum(last - t, 0.0) / half_life) for name, t in times.items()}


def _drawn(method, target, central, options, rng):
    """The target that a method draws from, and its `Particles`."""
    if method == "map":
        return central, particles.at_mode(central)
    drifts, imputed = target.drift is not None, target.imputed is not None
    if (method == "nuts" and (drifts or imputed)) or (method == "laplace" and imputed):
        what = "imputed covariates" if imputed else "drift"
        raise ModelError(f'forecast: method="{method}" takes no {what}; use "importance"')
    if method == "laplace":
        return target, particles.laplace(target, central, options.draws, rng)
    enough, rounds = min(options.draws, particles.ENOUGH), options.rounds if method != "nuts" else 0
    found = particles.importance(target, central, options.proposals, rounds, enough, rng)
    unsure = method == "auto" and found.khat > KHAT and not (drifts or imputed)
    if target.size and (method == "nuts" or unsure):
        log.info("NUTS (k-hat of importance sampling: %.2f) compiles the model once", found.khat)
        return nuts.sampled(target, options.draws, rng, found)
    return target, found
