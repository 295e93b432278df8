// Written by Training/train.py; run it again instead of editing.

/// A classifier of Iris flowers by sepal length, sepal width, petal length and petal width in centimetres, trained on
/// 99 of the 150 flowers of Fisher (1936). It is right for 0.970 of them and for 0.980 of the
/// 51 held out.
enum IrisWeights {
    static let classes = ["setosa", "versicolor", "virginica"]
    /// One line of weights for each class, in the order of the features.
    static let weights: [[Double]] = [
        [-2.006343, 3.761749, -1.836775, -4.078525],
        [1.129765, -0.722453, -0.432248, -1.996704],
        [0.876578, -3.039295, 2.269023, 6.075229],
    ]
    static let intercepts: [Double] = [11.83133, 3.221786, -15.053117]
}
