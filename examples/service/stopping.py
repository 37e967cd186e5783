"""Server: uvicorn that announces its end before it stops listening.

On SIGTERM or Ctrl-C uvicorn alone stops listening at once, and clients that come a moment
later find nobody. This server first says for a while that it stops: ``/ready`` and new requests
are answered with 503, while accepted requests go on. Then uvicorn stops as it always does: it
stops listening, sends the answers that are due, and ends. A second signal shortens the while.
"""

import asyncio

import uvicorn


class Server(uvicorn.Server):
    """A uvicorn server that calls ``announce`` and goes on for ``notice`` seconds."""

    def __init__(self, config, announce, notice):
        super().__init__(config)
        self._announce = announce
        self._notice = notice
        self._announced = False
        self._loop = None  # until it starts

    async def startup(self, sockets=None):
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig, frame):
        if self._loop is None or self.should_exit:
            super().handle_exit(sig, frame)
        elif self._announced:
            self._stop()
        else:
            self._announced = True
            self._announce()
            # This is a signal handler: it may only leave a message for the event loop.
            self._loop.call_soon_threadsafe(self._loop.call_later, self._notice, self._stop)

    def _stop(self):
        # uvicorn's handle_exit would do the same, and in the end raise the signal once more,
        # so that the process would not end with status 0.
        self.should_exit = True
