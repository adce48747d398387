// Saturable elimination of a bolus at time 0 by differential equations; log-normal vmax, km, v with a diagonal Omega;
// proportional error. `centred` chooses what is sampled: the subjects' logarithms, or their standardised effects.
functions {
  vector rate(real t, vector a, real vmax, real km, real v) {
    return -vmax * a / (km * v + a[1]);
  }
}
data {
  int N;
  int J;
  int M; // samples of a subject, which are in order
  array[N] int<lower=1, upper=J> id;
  array[M] real time;
  vector[N] y;
  real dose;
  vector[3] middle; // priors of theta, on the log scale
  int<lower=0, upper=1> centred;
  real rtol;
  real atol;
}
parameters {
  vector[3] theta;
  vector<lower=0>[3] omega;
  matrix[J, 3] raw;
  real<lower=0> sigma;
}
model {
  matrix[J, 3] phi;
  vector[N] f;
  theta ~ normal(middle, 1);
  omega ~ normal(0, 0.5);
  sigma ~ normal(0, 0.5);
  for (k in 1:3) {
    raw[, k] ~ normal(centred ? theta[k] : 0, centred ? omega[k] : 1);
    phi[, k] = centred ? raw[, k] : theta[k] + omega[k] * raw[, k];
  }
  for (j in 1:J) {
    real v = exp(phi[j, 3]);
    array[M] vector[1] a = ode_rk45_tol(rate, [dose]', 0.0, time, rtol, atol, 100000, exp(phi[j, 1]), exp(phi[j, 2]), v);
    for (m in 1:M) f[(j - 1) * M + m] = a[m, 1] / v;
  }
  y ~ normal(f, sigma * abs(f));
}
