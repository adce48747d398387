// The model of one_compartment_oral_superposition.stan at a cost that is linear in the events: two decaying sums of
// doses (rates k and ka) are carried from dose to dose, and a subject's samples then follow from the last dose before
// each, in vectorised operations. The fastest of seven arrangements that were tried: the scale enters at the doses, the
// likelihood is that of y / f, and vectors are a subject's, so that rates stay scalars.
data {
  int N; // samples, in the order of subjects
  int J; // subjects
  int D; // doses, in the order of subjects and times
  vector[N] y;
  array[J] int start; // a subject's first sample, and how many it has
  array[J] int length;
  array[N] int<lower=1, upper=D> last; // dose before the sample, and the time since
  vector[N] since;
  array[D] int<lower=1, upper=J> subject;
  vector[D] gap; // time since the dose before; -1 where the state starts from zero
  vector[D] amount;
  vector[D] interval; // of a steady-state dose, 0 of an ordinary one
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
  vector[D] slow;
  vector[D] fast;
  for (d in 1:D) {
    int j = subject[d];
    real dose = scale[j] * amount[d];
    if (interval[d] > 0) {
      slow[d] = dose / (1 - exp(-k[j] * interval[d]));
      fast[d] = dose / (1 - exp(-ka[j] * interval[d]));
    } else if (gap[d] < 0) {
      slow[d] = dose;
      fast[d] = dose;
    } else {
      slow[d] = dose + slow[d - 1] * exp(-k[j] * gap[d]);
      fast[d] = dose + fast[d - 1] * exp(-ka[j] * gap[d]);
    }
  }
  theta_cl ~ normal(log(5), 0.5);
  theta_v ~ normal(log(70), 0.5);
  theta_ka ~ normal(log(1), 0.5);
  omega ~ normal(0, 0.5);
  to_vector(z) ~ std_normal();
  sigma ~ normal(0, 0.5);
  for (j in 1:J) {
    int s = start[j];
    int n = length[j];
    array[n] int dose = segment(last, s, n);
    vector[n] t = segment(since, s, n);
    vector[n] f = slow[dose] .* exp(-k[j] * t) - fast[dose] .* exp(-ka[j] * t);
    segment(y, s, n) ./ f ~ normal(1, sigma); // y ~ normal(f, sigma f), with the Jacobian of y / f below
    target += -sum(log(f));
  }
}
