"""``nlmebayes models``: the published populations that come with the library."""

from nlmebayes.populations import library


def lines():
    """Name, drug and patients, range of the covariates, what doses are rounded to, and citation of each."""
    for model in library.catalogue():
        yield f"\n{model.name}: {model.title}"
        yield f"    domain: {model.domain or 'no range of covariates is stated'}"
        yield f"    doses: {model.doses}"
        yield f"    {model.citation}. doi:{model.doi}"
