#!/usr/bin/env python3
"""Trains the classifier that LinearModel ships with, on Fisher's Iris data.

    python3 train.py           writes held-out.csv and ../IrisWeights.swift
    python3 train.py --check   fails when the files in the tree are not what this script writes

Multinomial logistic regression by full-batch gradient descent, on the standard library alone. One third of each
species is held out, chosen by a seeded shuffle, and never seen in training: it is what the accuracy is measured on.
"""

import argparse
import csv
import math
import pathlib
import random
import sys

SEED = 1936  # the year of Fisher's paper; any number would do, one must
HELD_OUT_PER_SPECIES = 17  # of 50: one third
STEPS = 4000  # the loss changes in its sixth digit only by then
STEP_SIZE = 0.5  # features are standardised, so the curvature is near one
PENALTY = 0.001  # L2; the species setosa is separable, without a penalty its weights grow without bound
DIGITS = 6  # what the last bits of another machine's exp() cannot reach

HERE = pathlib.Path(__file__).resolve().parent
FEATURES = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
SPECIES = ["setosa", "versicolor", "virginica"]


def read_rows():
    with open(HERE / "iris.csv", newline="") as file:
        lines = [line for line in file if not line.startswith("#")]
    rows = [([float(row[name]) for name in FEATURES], SPECIES.index(row["species"])) for row in csv.DictReader(lines)]
    if [sum(1 for _, label in rows if label == index) for index in range(3)] != [50, 50, 50]:
        sys.exit("iris.csv: 50 rows of each species are expected")
    return rows


def split(rows):
    """Training and held-out rows, stratified by species."""
    generator = random.Random(SEED)
    training, held_out = [], []
    for label in range(len(SPECIES)):
        own = [row for row in rows if row[1] == label]
        chosen = set(generator.sample(range(len(own)), HELD_OUT_PER_SPECIES))
        for index, row in enumerate(own):
            (held_out if index in chosen else training).append(row)
    return training, held_out


def softmax(scores):
    top = max(scores)
    powers = [math.exp(score - top) for score in scores]
    total = sum(powers)
    return [power / total for power in powers]


def scores_of(row, weights, intercepts):
    return [
        intercept + sum(weight * value for weight, value in zip(line, row))
        for line, intercept in zip(weights, intercepts)
    ]


def train(rows):
    """Weights [species][feature] and intercepts [species], in the units of the data (centimetres)."""
    count, width, classes = len(rows), len(FEATURES), len(SPECIES)
    means = [sum(row[feature] for row, _ in rows) / count for feature in range(width)]
    deviations = [
        math.sqrt(sum((row[feature] - means[feature]) ** 2 for row, _ in rows) / count) for feature in range(width)
    ]
    standard = [
        ([(row[feature] - means[feature]) / deviations[feature] for feature in range(width)], label)
        for row, label in rows
    ]
    weights = [[0.0] * width for _ in range(classes)]
    intercepts = [0.0] * classes
    for _ in range(STEPS):
        slopes = [[PENALTY * weight for weight in line] for line in weights]
        intercept_slopes = [0.0] * classes
        for row, label in standard:
            probabilities = softmax(scores_of(row, weights, intercepts))
            for index in range(classes):
                excess = (probabilities[index] - (1.0 if index == label else 0.0)) / count
                intercept_slopes[index] += excess
                for feature in range(width):
                    slopes[index][feature] += excess * row[feature]
        for index in range(classes):
            intercepts[index] -= STEP_SIZE * intercept_slopes[index]
            for feature in range(width):
                weights[index][feature] -= STEP_SIZE * slopes[index][feature]
    # The standardisation is folded in, so that the model takes centimetres.
    raw_weights = [[line[feature] / deviations[feature] for feature in range(width)] for line in weights]
    raw_intercepts = [
        intercept - sum(weight * mean for weight, mean in zip(line, means))
        for line, intercept in zip(raw_weights, intercepts)
    ]
    return (
        [[round(weight, DIGITS) for weight in line] for line in raw_weights],
        [round(intercept, DIGITS) for intercept in raw_intercepts],
    )


def accuracy(rows, weights, intercepts):
    right = 0
    for row, label in rows:
        scores = scores_of(row, weights, intercepts)
        right += scores.index(max(scores)) == label
    return right / len(rows)


def swift_source(weights, intercepts, training, held_out):
    seen, unseen = (accuracy(rows, weights, intercepts) for rows in (training, held_out))
    lines = ",\n".join("        [" + ", ".join(f"{weight}" for weight in line) + "]" for line in weights)
    return f"""// Written by Training/train.py; run it again instead of editing.

/// A classifier of Iris flowers by sepal length, sepal width, petal length and petal width in centimetres, trained on
/// {len(training)} of the 150 flowers of Fisher (1936). It is right for {seen:.3f} of them and for {unseen:.3f} of the
/// {len(held_out)} held out.
enum IrisWeights {{
    static let classes = [{", ".join(f'"{name}"' for name in SPECIES)}]
    /// One line of weights for each class, in the order of the features.
    static let weights: [[Double]] = [
{lines},
    ]
    static let intercepts: [Double] = [{", ".join(f"{intercept}" for intercept in intercepts)}]
}}
"""


def held_out_text(held_out):
    lines = [",".join(FEATURES + ["species"])]
    lines += [",".join([f"{value}" for value in row] + [SPECIES[label]]) for row, label in held_out]
    return "# Written by train.py: the rows that training never saw.\n" + "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare with the files in the tree and write nothing")
    arguments = parser.parse_args()
    training, held_out = split(read_rows())
    weights, intercepts = train(training)
    outputs = {
        HERE / "held-out.csv": held_out_text(held_out),
        HERE.parent / "IrisWeights.swift": swift_source(weights, intercepts, training, held_out),
    }
    if arguments.check:
        stale = [path.name for path, text in outputs.items() if not path.exists() or path.read_text() != text]
        if stale:
            sys.exit(f"not what train.py writes: {', '.join(stale)}")
        print("the files in the tree are what train.py writes")
        return
    for path, text in outputs.items():
        path.write_text(text)
    print(f"accuracy: training {accuracy(training, weights, intercepts):.3f}, "
          f"held out {accuracy(held_out, weights, intercepts):.3f}")


if __name__ == "__main__":
    main()
