"""Golden values for tests/forest.rs, from implementations that are not ours.

    pip install numpy==2.* scikit-learn==1.* shap==0.51.0
    python forest.py > forest.json

`tree`: what scikit-learn's DecisionTreeClassifier, grown on `x` and `y` with all features, says of `other`.
`forest`: the nodes of a RandomForestClassifier, what it says of `other`, and its path-dependent Shapley
values by `shap`, with their base.
"""

import json

import numpy
import shap
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

FEATURES = 5


def sample(random, rows):
    x = random.standard_normal((rows, FEATURES)).astype(numpy.float32)
    odds = 1.5 * x[:, 0] * x[:, 1] + x[:, 2] - 0.5 * (x[:, 3] > 0.3)
    y = random.random(rows) < 1 / (1 + numpy.exp(-2 * odds))
    return x, y


def nodes(tree):
    """[feature, threshold, below, above, cover, share]; of a leaf the feature is -1."""
    t = tree.tree_
    shares = t.value[:, 0, 1] / t.value[:, 0, :].sum(axis=1)
    rows = zip(
        [-1 if left < 0 else int(f) for f, left in zip(t.feature, t.children_left)],
        t.threshold.tolist(),
        t.children_left.tolist(),
        t.children_right.tolist(),
        t.weighted_n_node_samples.tolist(),
        shares.tolist(),
    )
    return [list(row) for row in rows]


def main():
    random = numpy.random.default_rng(20261123)
    x, y = sample(random, 600)
    other, _ = sample(random, 40)
    # Where two splits are equally good scikit-learn draws one: a sample on which it never has to.
    trees = [
        DecisionTreeClassifier(max_depth=4, min_samples_leaf=25, random_state=seed).fit(x, y)
        for seed in range(20)
    ]
    tree = trees[0]
    assert all(nodes(other) == nodes(tree) for other in trees)
    forest = RandomForestClassifier(12, max_depth=6, min_samples_leaf=2, random_state=0).fit(x, y)
    explainer = shap.TreeExplainer(forest, feature_perturbation="tree_path_dependent")
    values = explainer.shap_values(other)[:, :, 1]
    golden = {
        "features": FEATURES,
        "x": x.ravel().tolist(),
        "y": y.tolist(),
        "other": other.ravel().tolist(),
        "tree": tree.predict_proba(other)[:, 1].tolist(),
        "forest": {
            "trees": [nodes(estimator) for estimator in forest.estimators_],
            "score": forest.predict_proba(other)[:, 1].tolist(),
            "base": float(explainer.expected_value[1]),
            "values": values.ravel().tolist(),
        },
    }
    entries = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in golden.items()]
    print("{\n" + ",\n".join(entries) + "\n}")


if __name__ == "__main__":
    main()
