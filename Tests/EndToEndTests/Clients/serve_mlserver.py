"""Starts MLServer with an sklearn model named `iris` of version 1: serve_mlserver.py DIRECTORY HTTP GRPC METRICS."""

import json
import os
import pathlib
import sys

import joblib

import iris

directory = pathlib.Path(sys.argv[1])
http_port, grpc_port, metrics_port = (int(argument) for argument in sys.argv[2:5])
joblib.dump(iris.sklearn_model(), directory / "model.joblib")
(directory / "settings.json").write_text(json.dumps({
    "host": "127.0.0.1",
    "http_port": http_port,
    "grpc_port": grpc_port,
    "metrics_port": metrics_port,
    "parallel_workers": 0,
    "debug": False,
}))
(directory / "model-settings.json").write_text(json.dumps({
    "name": "iris",
    "implementation": "mlserver_sklearn.SKLearnModel",
    "parameters": {"uri": str(directory / "model.joblib"), "version": "1"},
}))
# The same process goes on, so that whoever started this one stops the server by its id.
os.execv(sys.executable, [sys.executable, "-m", "mlserver.cli.main", "start", str(directory)])
