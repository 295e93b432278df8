"""The Iris data of the tree, and an sklearn model trained on it, for the servers and clients of these tests."""

import csv
import pathlib

TRAINING = pathlib.Path(__file__).resolve().parents[3] / "Plugins" / "LinearModel" / "Training"
FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SPECIES = ["setosa", "versicolor", "virginica"]


def rows(name="iris.csv"):
    """(measurements, class index) of each flower."""
    with open(TRAINING / name, newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    return [([float(row[key]) for key in FEATURES], SPECIES.index(row["species"])) for row in csv.DictReader(lines)]


def sklearn_model():
    from sklearn.linear_model import LogisticRegression

    held_out = [measurements for measurements, _ in rows("held-out.csv")]
    data = [row for row in rows() if row[0] not in held_out]
    return LogisticRegression(max_iter=1000).fit([row for row, _ in data], [label for _, label in data])
