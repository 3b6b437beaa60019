"""An interpreter that waits, with what a unit's charm imports in its memory, for hooks to run.

Python imports a module of this name after its start and before it opens the program that it was called with,
here the charm. This one imports what the charm is going to import from other packages, and waits. Each hook is
a fork of it that gets the hook's files and environment and returns from here, so that everything from opening
the charm to the exit code is the interpreter's own work. Between the two stands a keeper: it is the leader of
the hook's session, passes signals on, tells how the hook ended, and kills whatever is left when its other end,
tools/hooktool/python.c (which starts this and says what the messages are), is gone.

What the charm could see of imports that happened early is looked for; where there is any, nothing is imported.
"""

import _socket
import gc
import os
import select
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ast
    from collections.abc import Iterator

_IDLE_MILLISECONDS = 30_000
_LISTENER, _OUTPUT = 3, 4
_BARE = "DAYBREAK_BARE"
_HERE = os.path.dirname(__file__)
_SIGKILL = 9

_Imports = list[tuple[str, list[str]]]
_State = dict[str, tuple[int, int, int]]


class _Watched(type(os.environ)):
    """An environment that notes whether somebody looked for what differs from hook to hook."""

    seen = False

    def __getitem__(self, key: str) -> str:
        if key.startswith("JUJU_"):
            _Watched.seen = True
        return super().__getitem__(key)

    def __iter__(self) -> "Iterator[str]":
        _Watched.seen = True
        return super().__iter__()


def _local_folders(program: str) -> list[str]:
    """Return where the charm's own modules are, which are never imported early."""
    charm = os.path.dirname(os.path.dirname(program))
    venv = os.path.join(charm, "venv")
    return [
        path
        for path in [os.path.dirname(program), *sys.path]
        if path.startswith(charm) and not path.startswith(venv) and path != _HERE
    ]


def _places(name: str, folders: list[str]) -> list[str]:
    """Return the files of a module of the charm's own; none when it is not."""
    stems = [os.path.join(folder, *name.split(".")) for folder in folders]
    places = [place for stem in stems for place in (f"{stem}.py", f"{stem}/__init__.py")]
    return [place for place in places if os.path.isfile(place)]


def _imported(statement: "ast.stmt") -> list[tuple[str, tuple[str, ...]]] | None:
    """Return the modules that a statement imports and what it takes of each; None when it does more."""
    import ast

    if isinstance(statement, ast.Import):
        return [(alias.name, ()) for alias in statement.names]
    if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
        return [(statement.module, tuple(alias.name for alias in statement.names))]
    docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return [] if docstring else None


def _heads(program: str, folders: list[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return what a program imports from elsewhere before it does anything else, in order.

    Its own modules are followed. Each file is read up to the first statement that is no import.
    """
    import ast

    found: dict[tuple[str, tuple[str, ...]], None] = {}
    read: set[str] = set()

    def is_local(top: str) -> bool:
        return any(os.path.isdir(f"{folder}/{top}") for folder in folders) or bool(
            _places(top, folders)
        )

    def follow(file: str) -> None:
        read.add(file)
        with open(file, "rb") as source:
            statements = ast.parse(source.read()).body
        for statement in statements:
            names = _imported(statement)
            if names is None:
                return
            for name, parts in names:
                if not is_local(name.partition(".")[0]):
                    found[name, parts] = None
                    continue
                modules = (name, *(f"{name}.{part}" for part in parts))
                for place in [place for module in modules for place in _places(module, folders)]:
                    if place not in read:
                        follow(place)

    follow(program)
    return list(found)


def _scan(program: str, folders: list[str]) -> tuple[_Imports, float]:
    """Return `_heads`, found by another process so that nothing of it stays, and its CPU seconds."""
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with open(writing, "w") as pipe:
            pipe.writelines(
                f"{name} {' '.join(parts)}\n" for name, parts in _heads(program, folders)
            )
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        lines = [line.split() for line in pipe]
    _, status, usage = os.wait4(pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    return ([(name, parts) for name, *parts in lines] if status == 0 else []), seconds


def _traces() -> tuple[object, ...]:
    """Return what of this process an import may leave that a fork would not have."""
    return (
        sorted(os.listdir("/proc/self/fd")),
        os.listdir("/proc/self/task"),
        os.getcwd(),
        os.environb.copy(),
    )


def _import(program: str) -> float:
    """Import what the charm imports; begins again without, when that can be noticed. Returns CPU seconds."""
    folders = _local_folders(program)
    names, seconds = _scan(program, folders)
    before, directory, environment = _traces(), os.getcwd(), dict(os.environ)
    kind = type(os.environ)

    def begin_bare() -> None:
        # Who already calls is still answered.
        os.chdir(directory)
        os.execve("/proc/self/exe", sys.orig_argv, {**environment, _BARE: "1"})  # noqa: S606

    os.environ.__class__ = _Watched
    sys.path.insert(0, os.path.dirname(program))
    try:
        for name, parts in names:
            __import__(name, fromlist=parts)
    except BaseException:
        begin_bare()
    sys.path.remove(os.path.dirname(program))
    os.environ.__class__ = kind
    os.set_blocking(_OUTPUT, False)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        said = os.read(_OUTPUT, 1)
    except BlockingIOError:
        said = b""
    mine = (f"{folder}/" for folder in folders)
    files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
    if said or _Watched.seen or before != _traces():
        begin_bare()
    if any(file.startswith(folder) for folder in mine for file in files):
        begin_bare()
    return seconds


def _state(files: list[str]) -> _State:
    """Return what changes when a file is written or replaced."""
    found: _State = {}
    for file in files:
        status = os.stat(file)
        found[file] = (status.st_ino, status.st_mtime_ns, status.st_size)
    return found


def _lasting(environment: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return the variables that all hooks of a unit have alike."""
    return {key: value for key, value in environment.items() if not key.startswith(b"JUJU_")}


def _freeze() -> None:
    """Let no fork's collector look at what is here.

    It finds no garbage, and by looking copies each page that it shares: at a fork's end that was half of what a
    hook took. The module that the program runs as is a new one, because what the program leaves in it is collected.
    """
    gc.freeze()
    main = type(sys)("__main__")
    main.__dict__.update(sys.modules["__main__"].__dict__)
    sys.modules["__main__"] = main


def _wait_for_hook() -> None:
    """Keep an interpreter ready and fork it for each hook; returns in the fork that is to be the hook."""
    program = os.path.realpath(sys.orig_argv[1])
    charm = os.path.dirname(os.path.dirname(program))
    sys.path.remove(_HERE)
    sys.path_importer_cache.pop(_HERE, None)
    # In a virtual environment the interpreter takes the program behind the link for it, which is ours.
    sys._base_executable = os.path.realpath("/proc/self/exe")  # type: ignore[attr-defined]
    spent = 0.0 if os.environ.pop(_BARE, None) else _import(program)
    os.close(_OUTPUT)
    path = os.environ.pop("PYTHONPATH").removeprefix(_HERE).removeprefix(":")
    if path:
        os.environ["PYTHONPATH"] = path
    files = [getattr(module, "__file__", None) for module in sys.modules.values()]
    state = _state([file for file in files if file and file.startswith(charm)])
    _freeze()
    listener = _socket.socket(fileno=_LISTENER)
    poll = select.poll()
    poll.register(_LISTENER, select.POLLIN)
    keepers: dict[int, int] = {}
    before = 0.0
    while ready := poll.poll(_IDLE_MILLISECONDS):
        for descriptor, _ in ready:
            if descriptor != _LISTENER:
                poll.unregister(descriptor)
                os.close(descriptor)
                _, status = os.waitpid(keepers.pop(descriptor), 0)
                if os.waitstatus_to_exitcode(status) > 0:
                    os._exit(0)  # it did not fit: the next hook starts one that does
                continue
            connection = _socket.socket(fileno=listener._accept()[0])  # type: ignore[attr-defined]
            spent += time.process_time() - before
            before = time.process_time()
            pid = os.fork()
            if not pid:
                listener.close()
                _keep(connection, state, spent)
                connection.detach()
                return
            spent = 0.0
            connection.close()
            handle = os.pidfd_open(pid)
            keepers[handle] = pid
            poll.register(handle, select.POLLIN)
    os._exit(0)


def _keep(connection: _socket.socket, state: _State, spent: float) -> None:
    """Fork the hook that a client asks for, and keep it; returns in the hook."""
    os.setsid()
    connection.send(b"h")
    text, rights, _, _ = connection.recvmsg(1 << 20, 64)
    if not text:
        os._exit(0)
    directory, mask, count, *words = text.split(b"\0")[:-1]
    argv, variables = words[: int(count)], words[int(count) :]
    parted = (variable.partition(b"=") for variable in variables)
    environment = {key: value for key, _, value in parted}
    data = b"".join(part for _, _, part in rights)
    files = [int.from_bytes(data[at : at + 4], sys.byteorder) for at in range(0, len(data), 4)]
    fits = (
        len(files) == 3
        and argv == [os.fsencode(word) for word in sys.orig_argv]
        and directory == os.getcwdb()
        and _lasting(environment) == _lasting(dict(os.environb))
        and _state(list(state)) == state
    )
    if not fits:
        connection.send(b"n")
        os._exit(1)
    connection.send(b"y%d" % os.getpid())
    pid = os.fork()
    for number, file in enumerate(files):
        if not pid:
            os.dup2(file, number)
        os.close(file)
    if pid:
        _follow(connection, pid, spent)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.umask(int(mask))
    os.environb.clear()
    for key, value in environment.items():
        os.environb[key] = value


def _follow(connection: _socket.socket, pid: int, spent: float) -> None:
    """Pass signals on to the hook until it ends; say how it ended, and end."""
    handle = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.register(connection.fileno(), select.POLLIN)
    while True:
        for descriptor, _ in poll.poll():
            if descriptor == handle:
                _, status, usage = os.wait4(pid, 0)
                code = os.waitstatus_to_exitcode(status)
                seconds = spent + usage.ru_utime + usage.ru_stime + time.process_time()
                kind = "k" if code < 0 else "x"
                connection.send(f"{kind}{abs(code)} {seconds:.4f}".encode())
                os._exit(0)
            message = connection.recv(16)
            if not message:
                os.killpg(0, _SIGKILL)
            os.kill(pid, int(message))


try:
    _wait_for_hook()
except BaseException:
    # Never go on to the charm: nobody has asked for it.
    os._exit(1)
del sys.modules[__name__]
import sitecustomize  # type: ignore[import-not-found]  # noqa: E402, F401  # the machine's own
