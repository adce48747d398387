// One compartment, first-order absorption, many doses and steady-state doses: superposition over the doses of each
// sample, vectorised over the doses. A steady-state dose resets the system, so it can only be the first in a sample's
// segment: it is an ordinary dose plus the train of doses before it, one every `interval`. Non-centred log-normal
// cl, v, ka with a diagonal Omega; proportional error.
data {
  int N; // samples
  int J; // subjects
  int M; // pairs of a sample and a dose before it
  array[N] int<lower=1, upper=J> id;
  vector[N] y;
  array[N] int start; // a sample's first pair, and how many it has
  array[N] int length;
  vector[M] elapsed; // time since the dose
  vector[M] amount;
  vector[N] interval; // of the steady state that the segment starts from, 0 without one
}
parameters {
  real theta_cl;
  real theta_v;
  real theta_ka;
  vector<lower=0>[3] omega;
  matrix[3, J] z;
  real<lower=0> sigma;
}
model {
  vector[J] cl = exp(theta_cl + omega[1] * z[1]');
  vector[J] v = exp(theta_v + omega[2] * z[2]');
  vector[J] ka = exp(theta_ka + omega[3] * z[3]');
  vector[J] k = cl ./ v;
  vector[J] scale = ka ./ (v .* (ka - k));
  vector[N] f;
  for (i in 1:N) {
    int j = id[i];
    int s = start[i];
    int n = length[i];
    vector[n] t = segment(elapsed, s, n);
    real total = dot_product(segment(amount, s, n), exp(-k[j] * t) - exp(-ka[j] * t));
    if (interval[i] > 0) {
      real since = elapsed[s] + interval[i];
      total += amount[s] * (exp(-k[j] * since) / (1 - exp(-k[j] * interval[i]))
                            - exp(-ka[j] * since) / (1 - exp(-ka[j] * interval[i])));
    }
    f[i] = scale[j] * total;
  }
  theta_cl ~ normal(log(5), 0.5);
  theta_v ~ normal(log(70), 0.5);
  theta_ka ~ normal(log(1), 0.5);
  omega ~ normal(0, 0.5);
  to_vector(z) ~ std_normal();
  sigma ~ normal(0, 0.5);
  y ~ normal(f, sigma * f);
}
