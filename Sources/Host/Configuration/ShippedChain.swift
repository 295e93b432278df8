/// The chain of a file that names neither `plugins` nor `pipeline`: configuration like any other, read by the same
/// reader.
public enum ShippedChain {
    /// The file name in positions.
    public static let name = "<shipped chain>"

    public static let yaml = """
        # The chain that Sluice ships. A configuration with neither `plugins` nor `pipeline` gets it; to change a link,
        # copy both into your own file.

        plugins:
          - name: open-inference        # KServe v2 and Triton over REST
            library: libOpenInference.so
          - name: rest-predict          # /v1/models/… of TensorFlow Serving and KServe v1
            library: libRestPredict.so
          - name: by-version            # the version in the path, its label, or the latest
            library: libByVersion.so
          - name: least-request
            library: libLeastRequest.so
          - name: round-robin
            library: libRoundRobin.so
          - name: size-or-delay         # gathers nothing unless `batching` is configured
            library: libSizeOrDelay.so
          - name: linear-model          # a backend: serves classifiers in this process
            library: libLinearModel.so
          - name: access-log            # an observer: name it under `pipeline.observers` to use it
            library: libAccessLog.so

        pipeline:
          adapters: [open-inference, rest-predict]
          router: by-version
          balancer: least-request
          batcher: size-or-delay

        """
}
