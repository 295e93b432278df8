"""Serves an sklearn model named `iris` with the kserve SDK, v1 and v2 protocols: serve_kserve.py HTTP_PORT."""

import sys

import numpy
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

import iris


class Iris(Model):
    def __init__(self):
        super().__init__("iris")
        self.model = iris.sklearn_model()
        self.ready = True

    def predict(self, payload, headers=None, response_headers=None):
        if isinstance(payload, InferRequest):
            data = payload.inputs[0].as_numpy()
            labels = numpy.asarray(self.model.predict(data), dtype=numpy.int64)
            output = InferOutput(name="predict", shape=list(labels.shape), datatype="INT64")
            output.set_data_from_numpy(labels, binary_data=False)
            return InferResponse(response_id=payload.id, model_name=self.name, infer_outputs=[output])
        return {"predictions": [int(label) for label in self.model.predict(payload["instances"])]}


if __name__ == "__main__":
    ModelServer(http_port=int(sys.argv[1]), enable_grpc=False, workers=1).start([Iris()])
