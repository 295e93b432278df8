"""Starts the example model server and calls it.

    example.py FILE         reads lines of METHOD MESSAGE, the message in hexadecimal, and prints for each `OK` and the
                            answer's message in hexadecimal, or the name of the gRPC code and its words
"""

import pathlib
import signal
import subprocess
import sys

import grpc

SERVER = pathlib.Path(__file__).resolve().parents[3] / "Plugins/ModelService/Example/server.py"
# Seconds that a call may take: it ends a server that hangs, and means nothing for one that does not.
PATIENCE = 60


def call(channel, method, message):
    # Messages are bytes here: neither side needs to know them.
    if method.endswith("/StreamPredict"):
        answers = list(channel.stream_stream(method)(iter([message]), timeout=PATIENCE))
        assert len(answers) == 1
        return answers[0]
    return channel.unary_unary(method)(message, timeout=PATIENCE)


# Who runs this from a thread pool has blocked all signals, and the server would inherit that.
signal.pthread_sigmask(signal.SIG_SETMASK, [])
with subprocess.Popen([sys.executable, SERVER, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
    try:
        address = server.stdout.readline().split()[-1]
        with grpc.insecure_channel(address) as channel:
            for line in pathlib.Path(sys.argv[1]).read_text().splitlines():
                method, _, message = line.partition(" ")
                try:
                    print("OK", call(channel, method, bytes.fromhex(message)).hex())
                except grpc.RpcError as error:
                    print(error.code().name, error.details())
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            raise
