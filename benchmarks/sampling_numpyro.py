"""NumPyro on the populations of `sampling.py`, hand-written: the peer's side.

One compartment with first-order absorption and one dose; cl, v, ka log-normal; proportional error; the priors of the
other programs, absorption kept above elimination by the same soft barrier. Reads a JSON file of data and settings,
samples, and writes the draws of the population as a .npz file. It runs in an environment of its own (pip install
numpyro); `sampling.py --numpyro PYTHON` calls it. Compilation is in a run of its own, before the clock starts.
"""

import json
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.infer import MCMC, NUTS, init_to_value

BARRIER = 0.02


def model(data):
    """The population, non-centred or centred."""
    theta = numpyro.sample("theta", dist.Normal(jnp.array(data["middle"]), 1.0).to_event(1))
    omega = numpyro.sample("omega", dist.HalfNormal(0.5 * jnp.ones(3)).to_event(1))
    sigma = numpyro.sample("sigma", dist.HalfNormal(0.5))
    with numpyro.plate("subject", data["J"]):
        if data["centred"]:
            phi = numpyro.sample("raw", dist.Normal(theta, omega).to_event(1))
        else:
            phi = theta + omega * numpyro.sample("raw", dist.Normal(jnp.zeros(3), 1.0).to_event(1))
    cl, v, ka = jnp.exp(phi.T)
    gap = jnp.log(ka * v / cl)
    numpyro.factor("order", -jax.nn.softplus(-gap / BARRIER).sum())
    who, t = jnp.array(data["id"]) - 1, jnp.array(data["time"])
    k, a, volume = (cl / v)[who], ka[who], v[who]
    f = jnp.array(data["dose"])[who] * a / (volume * (a - k)) * (jnp.exp(-k * t) - jnp.exp(-a * t))
    numpyro.sample("y", dist.Normal(f, sigma * jnp.abs(f)), obs=jnp.array(data["y"]))


def main(given, out):
    with open(given, encoding="utf-8") as file:
        work = json.load(file)
    numpyro.enable_x64()
    numpyro.set_host_device_count(work["chains"])
    data, draws, chains = work["data"], work["draws"], work["chains"]
    rng = np.random.default_rng(work["seed"])
    theta, omega = np.array(work["theta"]), np.array(work["omega"])
    raw = 0.1 * rng.standard_normal((data["J"], 3))
    start = {
        "theta": theta,
        "omega": omega,
        "sigma": work["sigma"],
        "raw": theta + omega * raw if data["centred"] else raw,
    }
    kernel = NUTS(lambda: model(data), target_accept_prob=work["accept"], init_strategy=init_to_value(values=start))
    sampler = MCMC(kernel, num_warmup=draws, num_samples=draws, num_chains=chains, progress_bar=False)
    key = jax.random.PRNGKey(work["seed"])
    fields = ("num_steps", "diverging")
    sampler.warmup(key, extra_fields=fields)  # compiles
    began = time.perf_counter()
    sampler.post_warmup_state = None
    sampler.run(key, extra_fields=fields)
    took = time.perf_counter() - began
    found, extra = sampler.get_samples(group_by_chain=True), sampler.get_extra_fields(group_by_chain=True)
    each = {name: np.moveaxis(np.atleast_3d(found[name]), (0, 1, 2), (2, 1, 0)) for name in ("theta", "omega", "sigma")}
    np.savez(out, took=took, steps=extra["num_steps"], diverging=extra["diverging"], **each)


if __name__ == "__main__":
    main(*sys.argv[1:])
