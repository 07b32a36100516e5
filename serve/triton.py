"""One running Triton on a bundle: started, watched until ready, and stopped without leaving anything behind."""

from __future__ import annotations

import logging
import shutil
import subprocess
import time
from contextlib import closing
from pathlib import Path
from types import TracebackType

from serve.access import Access
from serve.beats import HANG_SECONDS, hanging
from serve.errors import DeviceError, LaunchError
from serve.gpu import Gpu
from serve.installation import find_installation
from serve.lifetime import Guard, ending_with_its_starter
from serve.log import failure, may_be_tried_again, open_log
from serve.machine import check_machine
from serve.manifest import check_bundle
from serve.memory import has_room
from serve.processes import Processes, kill_group
from serve.repository_api import FAILURES, ask, connect
from serve.scratch import RUN_VARIABLE, make_scratch
from serve.shared_memory import SharedMemory, sweep
from serve.state import STATE_VARIABLE
from serve.steering import steer

# For the models to load: gigabytes from a cold disk. A model that fails ends the wait at once.
START_SECONDS = 900.0
STOP_SECONDS = 8.0  # for a clean stop, after which the processes are killed
_SEEMING_SECONDS = 1.0  # two signs of life
_LOAD_SECONDS = 10.0  # for one model that needs no weights
# NumPy's OpenBLAS computes even small products on all cores, whose threads then spin for tens of milliseconds.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
_BESIDE_SPEECH = {"voices"}  # models that no stream passes
_EXIT_TIMEOUT_SECONDS = 5  # after which Triton no longer waits for clients that keep a connection or a stream open

logger = logging.getLogger(__name__)


class TritonServer:
    """A Triton process and its model processes. Use as a context manager, or call start() and stop().

    The server ends with the thread that started it, even if that is killed: start it from a long-lived thread.

    Args:
        bundle: folder with manifest.json and model_repository/.
        access: where to listen, and to whom; by default to this machine, on free ports.
        verify: compare every file's hash with the manifest before starting.
        log: where Triton's log goes, by default triton.log in the bundle; numbered if another server writes that one;
            the log of the previous run is kept.
        verbosity: Triton's --log-verbose.
        device: one of several GPUs, by nvidia-smi's index or UUID, or as many as the bundle takes, with commas; by
            default those with most free memory.
        state: folder for what outlives the server, such as added voices; None keeps nothing.
        hang: seconds without progress after which a model that has work counts as hanging.
    """

    def __init__(
        self,
        bundle: Path,
        access: Access | None = None,
        verify: bool = False,
        log: Path | None = None,
        verbosity: int = 0,
        device: str | None = None,
        state: Path | None = None,
        hang: float = HANG_SECONDS,
    ) -> None:
        self.bundle, self._verify, self._verbosity = bundle, verify, verbosity
        self.access = access or Access()
        self.log = log or bundle / "triton.log"
        self._device, self._state, self._hang = device, state, hang
        self.gpus: tuple[Gpu, ...] = ()
        self._scratch: Path | None = None
        self._shared_memory: SharedMemory | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._processes: Processes | None = None
        self._guard: Guard | None = None
        self._hanging_since: float | None = None

    @property
    def grpc_url(self) -> str:
        return self.access.url("grpc")

    @property
    def http_url(self) -> str:
        return self.access.url("http")

    @property
    def metrics_url(self) -> str:
        return self.access.url("metrics")

    def start(self, timeout: float = START_SECONDS, beside: TritonServer | None = None) -> TritonServer:
        """Start and wait until every model is ready.

        beside: a running server whose ports this one takes over: new connections come here from then on.
        Raises LaunchError: the bundle does not fit this machine, a port is taken, a model failed to load, or something
        is wrong with the other server meanwhile.
        """
        repository = self.check()
        listening = self.access.arguments(beside is not None)
        check_machine(repository)
        try:
            self._start(repository, listening, timeout, beside)
        except LaunchError:
            if not may_be_tried_again(self.log):
                raise
            self._start(repository, listening, timeout, beside)
        if beside is not None:
            beside._lead_away()
        return self

    def check(self) -> Path:
        """Choose the GPUs; returns the model repository.

        Raises LaunchError: the bundle does not fit this machine; DeviceError: it has no GPU for it.
        """
        servable = check_bundle(self.bundle, self._verify, self._device, self.gpus)
        self.gpus = servable.gpus
        return servable.repository

    def fits_beside(self, other: TritonServer) -> bool:
        """Whether this machine has the memory for both at once. Raises LaunchError: not even for this one."""
        check_bundle(self.bundle, self._verify, self._device, other.gpus)
        try:
            self.check()
        except DeviceError:
            return False
        return has_room(other.memory_bytes())

    def stop(self, grace: float = STOP_SECONDS) -> float:
        """Stop everything, by force what does not stop by itself within `grace` seconds; returns those it took."""
        started = time.monotonic()
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(grace)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            # Model processes outlive a server that crashed or gave up waiting, by seconds or as long as they are busy.
            kill_group(self._process.pid)
            self._process = self._processes = None
        if self._guard is not None:
            self._guard.dismiss()
            self._guard = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None
        if self._shared_memory is not None:
            self._shared_memory.remove()
            self._shared_memory = None
        return time.monotonic() - started

    def ailment(self) -> str | None:
        """What is wrong with the running server, or None.

        Triton neither restarts a model process that died nor says so on its health endpoint.
        """
        if self._process is None or self._processes is None or self._process.poll() is not None:
            return "the server process has ended"
        return self._processes.ailment() or self._hanging()

    def _hanging(self) -> str | None:
        """Which models hang, once it was so for a while: after a pause of the whole machine all seem to."""
        ailment = hanging(self._scratch, self._hang) if self._scratch else None
        now = time.monotonic()
        self._hanging_since = None if ailment is None else self._hanging_since or now
        return ailment if self._hanging_since and now - self._hanging_since >= _SEEMING_SECONDS else None

    def heal(self) -> bool:
        """Load again what ails, if speech does without it; returns whether all is well then."""
        if self._process is None or self._processes is None or self._process.poll() is not None:
            return False
        ailing = self._processes.ailing()
        if not ailing or not ailing <= _BESIDE_SPEECH:
            return False
        try:
            for model in ailing:
                self._processes.kill(model)
                for action in ("unload", "load"):
                    ask(self.access, f"models/{model}/{action}", _LOAD_SECONDS)
        except FAILURES:
            return False
        if self._shared_memory is not None:
            self._shared_memory.make_private()
        if not self._processes.ailing() <= ailing:  # another one died meanwhile
            return False
        self._processes = Processes(self._process.pid)
        return self.ailment() is None and self._is_ready()

    def memory_bytes(self) -> int:
        """Resident memory of the server and its model processes."""
        return self._processes.memory_bytes() if self._processes else 0

    def processor_seconds(self) -> dict[str, float]:
        """Of the processor, by model, since each started, and of the server itself, as `triton`."""
        return self._processes.processor_seconds() if self._processes else {}

    def __enter__(self) -> TritonServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _lead_away(self) -> None:
        """Have no connection come here any more where a newer server listens, too."""
        assert self._processes is not None
        for port in (self.access.ports.grpc, self.access.ports.http):
            try:
                steer(port, self._processes.listeners(port))
            except (OSError, IndexError) as error:  # then some still come, and have to come again
                logger.warning("new connections cannot be led to the newer server alone: %s", error)

    def _start(self, repository: Path, listening: list[str], timeout: float, beside: TritonServer | None) -> None:
        sweep()
        self._scratch, self._shared_memory, self._hanging_since = make_scratch(), SharedMemory(), None
        try:
            self._process = self._launch(repository, listening, self._scratch, self._shared_memory)
            self._guard = Guard(self._process.pid)
            self._wait_until_ready(self._process, timeout, beside)
            self._shared_memory.make_private()
            self._processes = Processes(self._process.pid)
        except BaseException:
            self.stop()
            raise

    def _environment(self) -> dict[str, str]:
        """The models' environment: who may do what, the GPU, the folders of this run and of state; empty means none."""
        state = str(self._state.absolute()) if self._state else ""
        environment = {STATE_VARIABLE: state, RUN_VARIABLE: str(self._scratch)}
        visible = {"CUDA_VISIBLE_DEVICES": ",".join(gpu.uuid for gpu in self.gpus)} if self.gpus else {}
        return environment | self.access.environment() | visible

    def _launch(
        self, repository: Path, listening: list[str], scratch: Path, shared: SharedMemory
    ) -> subprocess.Popen[bytes]:
        triton = find_installation(scratch)
        linked = scratch / "repository"
        linked.symlink_to(repository.absolute())
        command = [str(triton.executable), f"--model-repository={linked}", *listening, shared.argument]
        command += [f"--backend-directory={triton.backends}"] if triton.backends else []
        # Complete configs make completing them a waste of seconds; the metrics interval follows ours.
        command += ["--disable-auto-complete-config", "--metrics-interval-ms=250"]
        command += ["--model-control-mode=explicit", "--load-model=*"]
        command += [f"--exit-timeout-secs={_EXIT_TIMEOUT_SECONDS}", f"--log-verbose={self._verbosity}"]
        try:
            self.log, output = open_log(self.log)
        except OSError as error:
            raise LaunchError(f"cannot write the log {self.log} ({error.strerror}); name another with --log") from error
        with output:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_ONE_THREAD | triton.environment | self._environment(),
                pass_fds=[shared.lock] if shared.lock >= 0 else [],
                umask=0o077,  # what models keep is no other user's: voices, codes
                start_new_session=True,  # Ctrl-C is for us, who then stop it in order
                preexec_fn=ending_with_its_starter(),  # noqa: PLW1509  (nothing outlives its launcher)
            )

    def _wait_until_ready(self, process: subprocess.Popen[bytes], timeout: float, beside: TritonServer | None) -> None:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise LaunchError(f"Triton stopped while starting: {self._reason()} (all of it: {self.log})")
            if self._is_ready():
                return
            if beside is not None and (ailment := beside.ailment()):
                raise LaunchError(f"{ailment} while the next one was loading")
            time.sleep(0.05)
        raise LaunchError(f"Triton was not ready within {timeout:.0f} s: {self._reason()} (all of it: {self.log})")

    def _reason(self) -> str:
        return failure(self.log, on_gpu=bool(self.gpus))

    def _is_ready(self) -> bool:
        # Ready means every model is. Not urllib: it would send this through a proxy named in the environment.
        try:
            with closing(connect(self.access, timeout=2)) as connection:
                if self.access.shared:
                    ask(self.access, "index", connection=connection)  # only this one, not one beside it, takes the key
                connection.request("GET", "/v2/health/ready")
                return connection.getresponse().status == 200
        except FAILURES:
            return False
