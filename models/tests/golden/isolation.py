"""Writes isolation.json: vectors, and how strange scikit-learn's isolation forest finds them.

    pip install scikit-learn==1.9.1 numpy
    python isolation.py

Four channels: two clusters of different spread, a constant channel, and twenty points that lie apart.
Scores are the mean of five forests of 400 trees, so that little of them is chance.
"""

import json
import pathlib

import numpy
from sklearn.ensemble import IsolationForest

HERE = pathlib.Path(__file__).parent


def main():
    random = numpy.random.default_rng(20261123)
    near = random.normal(0.0, 1.0, (300, 3))
    far = random.normal([6.0, -4.0, 2.0], 0.3, (180, 3))
    apart = random.uniform(-12.0, 12.0, (20, 3))
    points = numpy.vstack([near, far, apart])
    points = numpy.hstack([points, numpy.full((len(points), 1), 3.0)]).astype(numpy.float32)
    forests = [
        IsolationForest(n_estimators=400, max_samples=256, random_state=seed).fit(points)
        for seed in range(5)
    ]
    scores = -numpy.mean([forest.score_samples(points) for forest in forests], axis=0)
    record = {
        "channels": 4,
        "values": [round(float(value), 5) for value in points.ravel()],
        "scores": [round(float(score), 6) for score in scores],
    }
    (HERE / "isolation.json").write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
