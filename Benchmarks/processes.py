"""Child processes of a benchmark: started on chosen cores and free ports, accounted for, and always ended by pid."""

import atexit
import os
import pathlib
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parent
BUILD = HERE / ".build"

# A proxy and its rivals run here, alone.
PROXY_CORE = 0
# The load generator and the backend share the other core.
LOAD_CORE = 1

_started = []
_ports = set()


class BenchmarkFailure(Exception):
    """Something could not be measured; the message says what and what to do."""


def raise_descriptor_limit(wanted=32768):
    """Raises the limit of open files, for this process and the children it starts after, to `wanted` where that is
    allowed and else to the hard limit. A relay of 10,000 clients holds 20,000. Returns the limit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(hard, wanted), max(hard, wanted)))
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def free_port():
    """A TCP port that nobody listens on. It lies below the kernel's ephemeral range, so that no outgoing connection
    of a running benchmark takes it before the server binds it."""
    lowest_ephemeral = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = random.randrange(10240, max(lowest_ephemeral, 10241 + 1000))
        if port in _ports:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports.add(port)
        return port
    raise BenchmarkFailure("no free TCP port between 10240 and the ephemeral range")


def temporary_directory():
    """A directory that goes when the benchmark ends."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="sluice-bench-"))
    # A proxy that gives up root must still be able to read its configuration.
    path.chmod(0o755)
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def program(name):
    """The path of an installed program."""
    for directory in os.environ.get("PATH", "").split(":") + ["/usr/sbin", "/usr/local/sbin"]:
        path = pathlib.Path(directory) / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise BenchmarkFailure(f"{name} is not installed: run Benchmarks/setup.sh")


def compiled(source, *flags):
    """The binary of one of the C sources beside this file, compiled if it is older than its source or than a header.
    Flags may name libraries."""
    source = HERE / source
    binary = BUILD / (source.stem + (".so" if "-shared" in flags else ""))
    newest = max(path.stat().st_mtime for path in [source, *HERE.glob("*.h")])
    if not binary.exists() or binary.stat().st_mtime < newest:
        BUILD.mkdir(exist_ok=True)
        command = [program("cc"), "-std=gnu11", "-O2", "-Wall", "-Wextra", "-o", str(binary), str(source), *flags]
        subprocess.run(command, check=True)
    return str(binary)


def certificate(directory):
    """A key and a certificate for localhost that signs itself, made for this run: paths of the two files."""
    key, chain = directory / "server.key", directory / "server.pem"
    if not chain.exists():
        subprocess.run(
            [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "30", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", key, "-out", chain], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        # A worker that gave up root reads neither; the gateway refuses a key that others can read.
        key.chmod(0o600)
    return chain, key


class Server:
    """A child process, with its own children, that listens on a loopback port."""

    def __init__(self, name, command, port, core=None, environment=None, patience=20):
        """Starts `command` and waits up to `patience` seconds until `port` accepts. `core` pins the whole tree."""
        self.name, self.port = name, port
        pinned = ["taskset", "-c", str(core)] if core is not None else []
        # A file, not a pipe: nobody reads it while the load runs, and a full pipe would stop the server.
        self.output = tempfile.TemporaryFile()
        # A session of its own: ctrl-C reaches only the benchmark, which then ends its children in order.
        self.process = subprocess.Popen(
            pinned + [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=self.output,
            stderr=self.output, start_new_session=True, env={**os.environ, **(environment or {})})
        _started.append(self)
        self._wait(patience)

    @property
    def pid(self):
        return self.process.pid

    def printed(self):
        """What the server has written to its outputs so far."""
        self.output.seek(0)
        return self.output.read().decode(errors="replace")

    def _wait(self, patience):
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise BenchmarkFailure(
                    f"{self.name} ended with {self.process.returncode} at its start:\n{self.printed()}")
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        raise BenchmarkFailure(f"{self.name} did not listen on {self.port} in {patience} s:\n{self.printed()}")

    def cpu_seconds(self):
        """Processor time, user and system, of the whole process tree so far."""
        return sum(thread_seconds(pid) for pid in tree(self.pid))

    def stop(self, patience=5):
        """Asks the process to end, waits, and ends what is left of its tree."""
        if self in _started:
            _started.remove(self)
        pids = tree(self.pid)
        deadline = time.monotonic() + patience
        while self.process.poll() is None and time.monotonic() < deadline:
            # Again after a while: a server that looks at a flag before it sleeps can miss one signal (nginx does).
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                pass
        # A worker of a master that has ended goes by itself; one that does not within the same time is made to.
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline and any(_alive(pid) for pid in pids):
            time.sleep(0.02)
            self.process.poll()
        for pid in pids:
            if _alive(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def _alive(pid):
    """Whether a process of our session still runs. A pid that the kernel gave to somebody else is not ours."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return False
    return fields[0] not in "ZX"


def tree(root):
    """The pids of a process and all its descendants."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        try:
            tasks = os.listdir(f"/proc/{pid}/task")
            for task in tasks:
                waiting += map(int, pathlib.Path(f"/proc/{pid}/task/{task}/children").read_text().split())
        except OSError:
            continue
    return found


def thread_seconds(pid):
    """Time on a processor of all threads of one process. `schedstat` counts nanoseconds where `stat` counts ticks of
    10 ms. (proc(5), Documentation/scheduler/sched-stats.rst)"""
    total = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            total += int(pathlib.Path(f"/proc/{pid}/task/{task}/schedstat").read_text().split()[0])
    except OSError:
        pass
    return total / 1e9


def memory(pid):
    """Resident memory in bytes of one process tree: {"now": VmRSS, "peak": VmHWM}."""
    totals = {"now": 0, "peak": 0}
    for process in tree(pid):
        try:
            for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    totals["now"] += int(line.split()[1]) * 1024
                elif line.startswith("VmHWM:"):
                    totals["peak"] += int(line.split()[1]) * 1024
        except OSError:
            continue
    return totals


def reset_peak(pid):
    """Sets the peak that `memory` reports back to the present value. (proc(5), clear_refs)"""
    for process in tree(pid):
        pathlib.Path(f"/proc/{process}/clear_refs").write_text("5")


def stop_all():
    """Ends every server that still runs, the last started first."""
    for server in list(reversed(_started)):
        server.stop()


def run_script(main):
    """Runs `main`, turns failures into a message and exit code 1, and leaves no child behind, also after ctrl-C or
    SIGTERM."""
    def interrupted(number, frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    signal.signal(signal.SIGHUP, interrupted)
    code = 1
    try:
        code = main() or 0
    except BenchmarkFailure as failure:
        print(f"error: {failure}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 130
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stop_all()
    sys.exit(code)
