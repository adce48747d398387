"""Whether a model and a dataset fit one another: names, doses, residuals."""

from nlmebayes.errors import ModelError
from nlmebayes.structure.compartments import outcome_names


def check_names(model, design):
    """Names that would meet in the graph, and structures without what they need."""
    taken = (
        {p.name for p in model.structure.parameters}
        | {level.name for level in design.levels}
        | {"unit", "chain", "draw"}
    )
    own = outcome_names(model.structure)
    if not own and len(design.outcomes) > 1:
        raise ModelError(
            f"{model.structure.label} predicts one outcome, and the data have "
            f"{', '.join(o.name for o in design.outcomes)}; choose one: data.sel(outcome=...)"
        )
    for observed in design.outcomes:
        if own and observed.name not in own:
            raise ModelError(
                f"no outcome {observed.name!r} in {model.structure.label}; its outcomes are {', '.join(own)}. Rename "
                "the column, or map DVID to these names"
            )
        if observed.name in taken:
            raise ModelError(
                f"the outcome {observed.name!r} has the name of a parameter or level; rename the column of the data"
            )
    for level in design.levels:
        if level.name in {p.name for p in model.structure.parameters}:
            raise ModelError(f"level {level.name!r} has the name of a parameter; rename the column of the data")


def check_doses(model, design):
    """There are doses where nothing happens without; a patient who is forecast may still be waiting for the first."""
    if model.structure.doses and model.structure.needs_doses and not (design.records["what"] == "dose").any():
        raise ModelError(f"{model.structure.label} needs doses, and the data have none: give doses=, or AMT")


def check_residuals(model, design):
    """Every residual is of an outcome that is measured; new data of a fitted model may measure fewer."""
    have = [o.name for o in design.outcomes]
    for name in model.residual if isinstance(model.residual, dict) else ():
        if name not in have:
            raise ModelError(f"residual for {name!r}, which is no outcome of the data; outcomes are {', '.join(have)}")
