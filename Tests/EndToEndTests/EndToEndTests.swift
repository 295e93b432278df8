import Testing

/// Tests that start the real binary on free ports and speak to it as its users do. They run one after the other: each
/// has processes and threads of its own, and a failure is easier to read alone.
@Suite(.serialized) struct EndToEnd {}
