"""A worker that starts in milliseconds and answers with its number.

`python -I -S stub_worker.py --config=FILE --listen-fd=N --ready-fd=N`, ends when standard input does.
Settings that hold `refuse` end it with status 1, `crash` as soon as it was ready, `hang` before it is ready.
"""

import os
import select
import signal
import socket
import sys

options = dict(argument.split("=", 1) for argument in sys.argv[1:])
with open(options["--config"], encoding="utf-8") as file:  # noqa: PTH123 - one import less
    settings = file.read()
if "refuse" in settings:
    sys.exit(1)
if "hang" in settings:
    signal.pause()
status = 3 if "unclean" in settings else 0
for name in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(name, lambda *_: os._exit(status))
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
listener = socket.socket(fileno=int(options["--listen-fd"]))
listener.listen(16)
listener.setblocking(False)
os.write(int(options["--ready-fd"]), b"ready")
os.close(int(options["--ready-fd"]))
if "crash" in settings:
    os.kill(os.getpid(), signal.SIGKILL)
while True:
    readable, _, _ = select.select([listener, sys.stdin], [], [])
    if sys.stdin in readable:
        sys.exit(status)
    # What was accepted is answered.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2))
    try:
        connection, _ = listener.accept()
        connection.setblocking(True)
        connection.sendall(str(os.getpid()).encode())
        connection.close()
    except OSError:
        pass  # the worker that it is shared with was faster
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
