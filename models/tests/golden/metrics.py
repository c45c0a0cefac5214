"""Golden values for tests/metrics.rs, from implementations that are not ours.

    pip install numpy==2.* scikit-learn==1.* vus==0.0.6
    python metrics.py > metrics.json

VUS-PR comes from `vus` 0.0.6, the package of the measure's authors
(version 'opt', 250 thresholds); `TSB_AD` 1.5 computes the same lines.
AUPRC and AUROC come from scikit-learn. The event counts come from a
definition written out point by point, below.
"""

import json
import sys
import warnings

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score
from vus.metrics import get_metrics

warnings.filterwarnings("ignore")


def components(flags):
    """Points of each maximal run of ones, as sets."""
    found, run = [], set()
    for at, flag in enumerate(flags):
        if flag:
            run.add(at)
        elif run:
            found.append(run)
            run = set()
    return found + ([run] if run else [])


def event_counts(labels, flagged):
    events, episodes = components(labels), components(flagged)
    return {
        "events": len(events),
        "events_found": sum(any(e & p for p in episodes) for e in events),
        "episodes": len(episodes),
        "false_episodes": sum(not any(p & e for e in events) for p in episodes),
    }


def case(name, scores, labels, window, threshold):
    scores = np.asarray(scores, dtype=np.float32)
    labels = np.asarray(labels, dtype=int)
    flagged = scores > np.float32(threshold)
    reference = scores.astype(np.float64)
    return {
        "name": name,
        "scores": [round(float(s), 4) for s in scores],
        "labels": [int(l) for l in labels],
        "window": window,
        "threshold": float(np.float32(threshold)),
        "vus_pr": float(
            get_metrics(reference, labels, metric="vus", version="opt", slidingWindow=window)["VUS_PR"]
        ),
        "auprc": float(average_precision_score(labels, reference)),
        "auroc": float(roc_auc_score(labels, reference)),
        **event_counts(labels, flagged),
    }


def series(seed, points, segments, decimals, lift):
    """Smooth noise raised over `segments`; few decimals make ties."""
    random = np.random.default_rng(seed)
    noise = np.convolve(random.normal(size=points + 6), np.ones(7) / 7, mode="valid")
    labels = np.zeros(points, dtype=int)
    for start, end in segments:
        labels[start:end] = 1
    raised = noise + lift * labels * random.uniform(0, 1, points)
    return np.round(raised, decimals), labels


CASES = [
    ("one event", 1, 400, [(150, 190)], 3, 1.0, 20, 0.5),
    ("several events", 2, 700, [(50, 60), (200, 290), (500, 501)], 3, 0.8, 50, 0.4),
    ("many ties", 3, 500, [(100, 130), (300, 320)], 1, 0.6, 30, 0.3),
    ("all scores tied", 4, 300, [(100, 130)], -1, 0.0, 10, 0.5),
    ("event at the start", 5, 400, [(0, 25), (300, 310)], 3, 0.7, 40, 0.4),
    ("event at the end", 6, 400, [(10, 12), (380, 400)], 3, 0.7, 41, 0.4),
    ("events that merge when widened", 7, 400, [(100, 110), (114, 120), (150, 160)], 3, 0.7, 60, 0.4),
    ("fewer points than thresholds", 8, 120, [(40, 55)], 3, 0.9, 16, 0.5),
    ("worse than chance", 9, 400, [(200, 260)], 3, -1.0, 25, 0.2),
    ("no tolerance", 10, 400, [(200, 260)], 3, 0.9, 0, 0.2),
    ("the tolerance used", 11, 900, [(150, 190), (420, 430), (600, 750)], 4, 0.5, 100, 0.4),
]

if __name__ == "__main__":
    out = []
    for name, seed, points, segments, decimals, lift, window, threshold in CASES:
        scores, labels = series(seed, points, segments, decimals, lift)
        out.append(case(name, scores, labels, window, threshold))
    json.dump(out, sys.stdout, separators=(",", ":"))
    sys.stdout.write("\n")
