"""Features of seeded windows by numpy and scipy, for the tests in src/feature/sensor.rs.

    pip install numpy scipy
    python sensor_features.py > sensor_features.csv

One line a window: steps, channels, values (time-major), features, separated by `;`, numbers by
spaces. The features are mean, std, min, max, slope, rms, crest factor, kurtosis, the 0.1 and 0.95
quantiles and 4 band energies of each channel.
"""

import numpy
from scipy import stats


def bands(x, count):
    power = numpy.abs(numpy.fft.rfft(x - x.mean())) ** 2 / len(x) ** 2
    power[1:] *= 2
    if len(x) % 2 == 0:
        power[-1] /= 2
    power = power[1:]
    edges = [k * count // len(power) for k in range(len(power))]
    return [sum(p for p, edge in zip(power, edges) if edge == band) for band in range(count)]


def features(x):
    x = x.astype(numpy.float64)
    rms = numpy.sqrt(numpy.mean(x**2))
    constant = x.std() == 0
    return [
        x.mean(),
        x.std(),
        x.min(),
        x.max(),
        stats.linregress(numpy.arange(len(x)), x).slope if len(x) > 1 else 0,
        rms,
        numpy.abs(x).max() / rms if rms > 0 else 0,
        0 if constant else stats.kurtosis(x, fisher=False, bias=True),
        numpy.quantile(x, 0.1),
        numpy.quantile(x, 0.95),
        *bands(x, 4),
    ]


random = numpy.random.default_rng(20261122)
for steps, channels in [(30, 14), (30, 1), (32, 8), (31, 9), (8, 3), (1, 2), (2, 17), (201, 2)]:
    scale = 10.0 ** random.integers(-3, 4, channels)
    wave = numpy.sin(numpy.arange(steps)[:, None] * random.uniform(0.1, 3, channels))
    x = scale * (wave + 0.3 * random.standard_normal((steps, channels)) + 2)
    x = x.astype(numpy.float32)
    if channels > 1:
        x[:, 1] = 0
    if channels > 2:
        x[:, 2] = 1000.1
    columns = numpy.array([features(x[:, c]) for c in range(channels)]).T
    numbers = [" ".join(f"{v:.9g}" for v in part.ravel()) for part in (x, columns)]
    print(f"{steps};{channels};{numbers[0]};{numbers[1]}")
