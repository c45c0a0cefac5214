"""Golden values for tests/drift.rs: scipy, river and plain numpy on seeded sequences.

    python3 -m venv venv && venv/bin/pip install numpy scipy river
    venv/bin/python drift.py > drift.csv

Rows: name, parameters separated by ';', values separated by ';', result(s) separated by ';'.
"""

import numpy as np
from river.drift import ADWIN, PageHinkley
from scipy.stats import wasserstein_distance

random = np.random.default_rng(7)


def rounded(numbers):
    """Three digits, so that the file stays small and is read back exactly."""
    return np.round(numbers, 3)


def write(name, parameters, values, results):
    text = lambda numbers: ";".join(f"{float(x):.9g}" for x in numbers)
    print(",".join([name, text(parameters), text(values), text(results)]))


def psi(reference, current):
    edges = np.unique(np.quantile(reference, np.arange(1, 10) / 10))
    share = lambda x: (np.bincount(np.searchsorted(edges, x, side="left"), minlength=len(edges) + 1) + 0.5) / (
        len(x) + 0.5 * (len(edges) + 1)
    )
    p, q = share(reference), share(current)
    return np.sum((q - p) * np.log(q / p))


def mmd(x, y):
    """Biased, Gaussian kernel exp(-|x-y|^2 / (2 d))."""
    kernel = lambda a, b: np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * a.shape[1]))
    return kernel(x, x).mean() + kernel(y, y).mean() - 2 * kernel(x, y).mean()


pairs = [
    (random.normal(0, 1, 200), random.normal(0, 1, 150)),
    (random.normal(0, 1, 200), random.normal(0.5, 2, 64)),
    (random.integers(0, 4, 100).astype(float), random.integers(1, 6, 80).astype(float)),
    (np.full(50, 3.0), random.normal(3, 1, 50)),
    (random.exponential(1, 300), random.exponential(1.3, 31)),
]
for a, b in pairs:
    a, b = (rounded(x).astype(np.float32).astype(float) for x in (a, b))
    write("wasserstein", [len(a)], np.r_[a, b], [wasserstein_distance(a, b)])
    write("psi", [len(a)], np.r_[a, b], [psi(a, b)])

for shift in (0.0, 0.5, 2.0):
    x, y = rounded(random.normal(0, 1, (120, 3))), rounded(random.normal(shift, 1, (90, 3)))
    write("mmd", [len(x), 3], np.r_[x.ravel(), y.ravel()], [mmd(x, y)])

sequences = [
    random.normal(0, 1, 400),
    np.r_[random.normal(0, 1, 150), random.normal(1.5, 1, 150)],
    np.r_[random.normal(0, 0.2, 80), random.normal(-1, 0.2, 60), random.normal(1, 0.5, 100)],
    np.linspace(0, 3, 300) + random.normal(0, 0.5, 300),
]
for values in map(rounded, sequences):
    for delta, clock in ((0.002, 1), (0.05, 1), (0.002, 32)):
        detector = ADWIN(delta=delta, clock=clock, grace_period=10, min_window_length=5, max_buckets=5)
        found = []
        for at, value in enumerate(values):
            detector.update(value)
            if detector.drift_detected:
                found.append(at)
        write("adwin", [delta, clock], values, found + [detector.width])
    for delta, threshold in ((0.005, 20), (0.5, 8)):
        detector = PageHinkley(min_instances=1, delta=delta, threshold=threshold, alpha=1.0, mode="up")
        first = -1
        for at, value in enumerate(values):
            detector.update(value)
            if detector.drift_detected:
                first = at
                break
        write("page_hinkley", [delta, threshold], values, [first])
