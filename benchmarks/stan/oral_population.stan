// One compartment, first-order absorption, one dose per subject at time 0; log-normal cl, v, ka with a diagonal Omega;
// proportional error. `centred` chooses what is sampled: the subjects' logarithms, or their standardised effects.
data {
  int N;
  int J;
  array[N] int<lower=1, upper=J> id;
  vector[N] time;
  vector[N] y;
  vector[J] dose;
  vector[3] middle; // priors of theta, on the log scale
  int<lower=0, upper=1> centred;
}
parameters {
  vector[3] theta;
  vector<lower=0>[3] omega;
  matrix[J, 3] raw;
  real<lower=0> sigma;
}
model {
  matrix[J, 3] phi;
  theta ~ normal(middle, 1);
  omega ~ normal(0, 0.5);
  sigma ~ normal(0, 0.5);
  for (k in 1:3) {
    raw[, k] ~ normal(centred ? theta[k] : 0, centred ? omega[k] : 1);
    phi[, k] = centred ? raw[, k] : theta[k] + omega[k] * raw[, k];
  }
  target += log_inv_logit((phi[, 3] - phi[, 1] + phi[, 2]) / 0.02); // ka > cl / v
  vector[J] k = exp(phi[, 1] - phi[, 2]);
  vector[J] ka = exp(phi[, 3]);
  vector[J] scale = dose .* ka ./ (exp(phi[, 2]) .* (ka - k));
  vector[N] f = scale[id] .* (exp(-k[id] .* time) - exp(-ka[id] .* time));
  y ~ normal(f, sigma * f);
}
