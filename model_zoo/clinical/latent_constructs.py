from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
import pytensor.tensor as pt
import xarray as xr
from scipy import special

from nlmebayes import Curve, Parameter


@dataclass(frozen=True)
class LatentConstructs(Curve):
    r"""Constructs that show only in several items, of providers in clinics, and their joint effect on an outcome.

    .. math::
        y_{ki} = \nu_k + \frac{K_c \lambda_k}{\sum_j \lambda_j} \xi_{ci} + e_{ki}, \quad
        \xi_{ci} = \gamma_c^T z_i + u_{c,clinic(i)} + w_{ci}, \quad
        g(\mu_i) = b_i + \sum_c \beta_c \xi_{ci} + \sum_{c < d} \beta_{cd} \xi_{ci} \xi_{di}

    ``fidelity`` and ``adaptation`` are the constructs xi of provider i, 0 on average, in the unit of the average of
    their K items; effects u of clinics, and w of providers, are correlated between constructs. Item k has the intercept
    nu (``nu_f1``, ``nu_f2``, ``nu_f3``, ``nu_a1``, ``nu_a2``, ``nu_a3``) and a loading, which averages 1 over the items
    of a construct; lambda is its ratio to that of the first item (``lambda_f2``, ``lambda_f3``, ``lambda_a2``,
    ``lambda_a3``). Loadings are positive: turn an item round that is coded the other way. ``base`` b is the outcome, on
    the scale of g, of average constructs; beta are ``effect_fidelity``, ``effect_adaptation`` and
    ``joint_fidelity_adaptation``. Each item is an outcome of the data, which may miss values. Default priors are for
    columns with an SD near 1; ``Model(typical=)`` states others. A covariate z is a number in a formula without an
    intercept, ``"fidelity ~ 0 + years + (1|c|clinic/provider)"``, and in that of ``base`` if it acts on the outcome.

    Parameters
    ----------
    constructs : tuple of str
        ``"name =~ item + item + ..."``.
    outcome, clinic, provider : str
        Columns.
    joint, patients : bool
        Whether constructs act by their products too; whether a provider has several outcomes, those of patients, so
        that ``base`` differs among providers too.
    link : {"identity", "logit"}
        g; the logit is for `Bernoulli`.

    References
    ----------
    Muthen (1994), Sociol. Methods Res. 22, 376-398, doi:10.1177/0049124194022003006, for levels; Kenny and Judd
    (1984), Psychol. Bull. 96, 201-210, doi:10.1037/0033-2909.96.1.201, for products; Little, Slegers and Card (2006),
    Struct. Equ. Modeling 13, 59-72, for loadings that average 1.

    Examples
    --------
    The items and the outcome of a provider who is one above the average in fidelity:

    >>> import numpy as np, nlmebayes as nb
    >>> from model_zoo import LatentConstructs
    >>> structure = LatentConstructs()
    >>> typical = {each.name: each.typical or 0.0 for each in structure.parameters}
    >>> structure.curve(nb.Named(**typical | {"fidelity": 1.0, "effect_fidelity": 0.4}), nb.Named())
    {'f1': 1.0, 'f2': 1.0, 'f3': 1.0, 'a1': 0.0, 'a2': 0.0, 'a3': 0.0, 'outcome': 0.4}
    """

    constructs: tuple[str, ...] = ("fidelity =~ f1 + f2 + f3", "adaptation =~ a1 + a2 + a3")
    outcome: str = "outcome"
    clinic: str = "clinic"
    provider: str = "provider"
    joint: bool = True
    patients: bool = False
    link: Literal["identity", "logit"] = "identity"

    def __post_init__(self):
        super().__post_init__()
        pairs = [_split(text) for text in self.constructs]
        for text, (_, items) in zip(self.constructs, pairs, strict=True):
            if len(items) < 2 or not all(items):
                raise ValueError(
                    f"LatentConstructs: {text!r} is no construct of two items or more, and one item cannot be told "
                    "from its error; write constructs=('fidelity =~ f1 + f2 + f3', ...)"
                )
        names = [*(name for name, _ in pairs), *(item for _, items in pairs for item in items), self.outcome, "base"]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"LatentConstructs: {name!r} is twice among {', '.join(names)}")

    @property
    def items(self) -> dict[str, tuple[str, ...]]:
        """Columns of each construct, a dict by name."""
        return dict(_split(text) for text in self.constructs)

    @property
    def outcomes(self):
        return (*(item for items in self.items.values() for item in items), self.outcome)

    @property
    def scattered(self):
        some = f"{self.outcomes[0]!r}: Additive(), ..., {self.outcome!r}: Bernoulli()"
        return f"{{{some}}}, or others for items" if self.link == "logit" else ""

    @property
    def products(self) -> tuple[tuple[str, str], ...]:
        """Pairs of constructs that act by their product."""
        return tuple(combinations(self.items, 2)) if self.joint else ()

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        def fixed(name, unit, typical=0.0):
            return Parameter(name, unit, typical, 1.0, "identity", varies=False)

        loaded = [item for items in self.items.values() for item in items[1:]]
        base = {"typical": None} if self.link == "identity" else {"typical": 0.0, "spread": 1.5}
        return (
            *(Parameter(name, "item", 0.0, 1.0, "identity") for name in self.items),
            *(fixed(f"nu_{item}", "item", None) for item in self.outcomes[:-1]),
            *(Parameter(f"lambda_{item}", "1", spread=0.7, varies=False) for item in loaded),
            Parameter("base", "outcome", link="identity", **base),
            *(fixed(f"effect_{name}", "outcome/item") for name in self.items),
            *(fixed(f"joint_{one}_{other}", "outcome/item^2") for one, other in self.products),
        )

    @property
    def formulas(self):
        nested, block = f"{self.clinic}/{self.provider}", "c|" if len(self.items) > 1 else ""
        latent = (f"{name} ~ 0 + (1|{block}{nested})" for name in self.items)
        return (*latent, f"base ~ 1 + (1|{nested if self.patients else self.clinic})")

    def curve(self, p, x):
        p, found = vars(p), {}
        for name, (first, *others) in self.items.items():
            ratio = {first: 1.0} | {item: p[f"lambda_{item}"] for item in others}
            unit = p[name] * len(ratio) / sum(ratio.values())
            found |= {item: p[f"nu_{item}"] + value * unit for item, value in ratio.items()}
        linear = self._together(p)
        return found | {self.outcome: linear if self.link == "identity" else pt.sigmoid(linear)}

    def _together(self, p):
        """g(mu) of parameters by name, tensors or draws."""
        alone = sum(p[f"effect_{name}"] * p[name] for name in self.items)
        return p["base"] + alone + sum(p[f"joint_{a}_{b}"] * p[a] * p[b] for a, b in self.products)

    def reliability(self, tree: xr.DataTree) -> xr.Dataset:
        r"""What is known of each construct, for every draw.

        Parameters
        ----------
        tree : DataTree
            From `fit` with `Additive` items.

        Returns
        -------
        Dataset (chain, draw, construct)
            ``sd`` among providers of all clinics and ``clinics``, the share of the variance that is between clinics,
            both at given covariates; ``reliability`` of the average of all K items, McDonald's omega,
            :math:`sd^2 / (sd^2 + \sum \sigma^2 / K^2)`.

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import LatentConstructs
        >>> structure = LatentConstructs()
        >>> columns = ["f1", "f2", "f3", "a1", "a2", "a3", "outcome"]
        >>> frame = pd.DataFrame(np.random.default_rng(1).standard_normal((6, 7)), columns=columns)
        >>> frame["clinic"], frame["provider"] = list("aabbcc"), list("uvwxyz")
        >>> data = nb.Dataset.from_frame(frame, outcome=columns, levels=["clinic", "provider"])
        >>> tree = nb.simulate(nb.Model(structure), data, draws=1, random_seed=1)
        >>> tree["posterior"] = tree["prior"].to_dataset()
        >>> structure.reliability(tree)["reliability"].squeeze().to_series().round(2).to_dict()
        {'fidelity': 0.64, 'adaptation': 0.98}
        """
        posterior, found = tree["posterior"].to_dataset(), []
        omegas = {v: each.rename({each.dims[-1]: "effect"}) for v, each in posterior.items() if v.startswith("omega_")}
        for name, items in self.items.items():
            own = {v: each.sel(effect=name, drop=True) ** 2 for v, each in omegas.items() if name in each["effect"]}
            total = sum(own.values())
            error = sum(posterior[f"sigma_{item}_a"] ** 2 for item in items) / len(items) ** 2
            between = own.get(f"omega_{self.clinic}", 0 * total) / total
            each = {"sd": np.sqrt(total), "clinics": between, "reliability": total / (total + error)}
            found.append(xr.Dataset(each))
        return xr.concat(found, pd.Index([*self.items], name="construct")).transpose("chain", "draw", "construct")

    def effects(self, tree: xr.DataTree) -> xr.DataArray:
        """Change of g(mu) by one SD of a construct from the average, and what one SD of both adds to the sum of the
        two.

        Parameters
        ----------
        tree : DataTree
            As in `reliability`.

        Returns
        -------
        DataArray (chain, draw, effect)
            Labelled by the construct, or ``"a x b"``.

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import LatentConstructs
        >>> structure = LatentConstructs()
        >>> columns = ["f1", "f2", "f3", "a1", "a2", "a3", "outcome"]
        >>> frame = pd.DataFrame(np.random.default_rng(1).standard_normal((6, 7)), columns=columns)
        >>> frame["clinic"], frame["provider"] = list("aabbcc"), list("uvwxyz")
        >>> data = nb.Dataset.from_frame(frame, outcome=columns, levels=["clinic", "provider"])
        >>> tree = nb.simulate(nb.Model(structure), data, draws=1, random_seed=1)
        >>> tree["posterior"] = tree["prior"].to_dataset()
        >>> list(structure.effects(tree)["effect"].to_numpy())
        ['fidelity', 'adaptation', 'fidelity x adaptation']
        """
        posterior, sd = tree["posterior"].to_dataset(), self.reliability(tree)["sd"]
        sd = {name: sd.sel(construct=name, drop=True) for name in self.items}
        found = {name: _intercept(posterior, f"effect_{name}") * sd[name] for name in self.items}
        for a, b in self.products:
            found[f"{a} x {b}"] = _intercept(posterior, f"joint_{a}_{b}") * sd[a] * sd[b]
        index = pd.Index([*found], name="effect")
        return xr.concat([*found.values()], index).transpose("chain", "draw", "effect")

    def surface(self, tree: xr.DataTree, grid: Sequence[float] = (-2.0, -1.0, 0.0, 1.0, 2.0)) -> xr.DataArray:
        """Expected outcome of a typical clinic over the first two constructs, the others being average.

        Parameters
        ----------
        tree : DataTree
            As in `reliability`.
        grid : sequence of float
            SDs from the average.

        Returns
        -------
        DataArray (chain, draw, first construct, second construct)

        Examples
        --------
        >>> import numpy as np, pandas as pd, nlmebayes as nb
        >>> from model_zoo import LatentConstructs
        >>> structure = LatentConstructs()
        >>> columns = ["f1", "f2", "f3", "a1", "a2", "a3", "outcome"]
        >>> frame = pd.DataFrame(np.random.default_rng(1).standard_normal((6, 7)), columns=columns)
        >>> frame["clinic"], frame["provider"] = list("aabbcc"), list("uvwxyz")
        >>> data = nb.Dataset.from_frame(frame, outcome=columns, levels=["clinic", "provider"])
        >>> tree = nb.simulate(nb.Model(structure), data, draws=1, random_seed=1)
        >>> tree["posterior"] = tree["prior"].to_dataset()
        >>> structure.surface(tree, grid=[-1.0, 1.0]).sizes["fidelity"]
        2
        """
        posterior, sd, axes = tree["posterior"].to_dataset(), self.reliability(tree)["sd"], [*self.items][:2]
        p = {name[6:]: _intercept(posterior, name[6:]) for name in posterior if name.startswith(EFFECTS)}
        at = {name: xr.DataArray(np.asarray(grid), {name: np.asarray(grid)}, name) for name in axes}
        at = dict.fromkeys(self.items, 0.0) | {k: v * sd.sel(construct=k, drop=True) for k, v in at.items()}
        linear = self._together(p | at)
        found = linear if self.link == "identity" else special.expit(linear)
        return found.transpose("chain", "draw", *axes)


EFFECTS = ("theta_base", "theta_effect_", "theta_joint_")


def _split(text):
    name, _, items = text.partition("=~")
    return name.strip(), tuple(item.strip() for item in items.split("+"))


def _intercept(posterior, name):
    return posterior[f"theta_{name}"].sel({f"{name}_term": "Intercept"}, drop=True)
