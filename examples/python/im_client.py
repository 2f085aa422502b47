"""A client of the IM gateway in Python, on `websockets`: what docs/conformance.md asks of a client, in one file to start from."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import time
from collections import OrderedDict, defaultdict

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

FINAL = {1000, 1002, 1003, 1007, 1008, 4003, 4403, 4409, 4429}  # do not reconnect
SOON = {1006, 4000, 4001, 4401}  # reconnect at once, spread over a second
ABUSE_DELAY_S = 30  # after 4002
FIRST_BACKOFF_S, MAX_BACKOFF_S, STEADY_S = 0.5, 30, 10
ANSWER_TIMEOUT_S, WELCOME_TIMEOUT_S = 10, 10
REORDER_S = 1  # how long a message is held back for an earlier one
MAX_SEEN = 10_000


class SendError(Exception):
    """The message was refused for good; `code` is one of the gateway's error table, or CLIENT_ENDED."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Seen:
    """Ids that were seen, the latest so many of them."""

    def __init__(self):
        self._ids = OrderedDict()

    def add(self, msg_id):
        """False where it was seen before."""
        if msg_id in self._ids:
            return False
        self._ids[msg_id] = None
        if len(self._ids) > MAX_SEEN:
            self._ids.popitem(last=False)
        return True


class Conversation:
    """Messages of one conversation in the order of their numbers; one that is missing is waited for, then told as a gap."""

    def __init__(self, name, on_message, on_gap):
        self.name, self._on_message, self._on_gap = name, on_message, on_gap
        self._last, self._held, self._timer = None, {}, None

    def place(self, number, message):
        """`message` is None where the number is taken by what is not shown."""
        if number == 0 or self._last is None or number <= self._last:
            self._show(number, message)
            return
        self._held.setdefault(number, message)
        self._release()
        if self._held and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(REORDER_S, self._give_up)

    def _release(self):
        while self._last + 1 in self._held:
            self._show(self._last + 1, self._held.pop(self._last + 1))
        if not self._held and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self):
        self._timer = None
        while self._held:
            number = min(self._held)
            if number > self._last + 1:
                self._on_gap(self.name, self._last, number)
            self._show(number, self._held.pop(number))

    def _show(self, number, message):
        self._last = max(self._last or 0, number) or None
        if message is not None:
            self._on_message(self.name, message)


class ImClient:
    """`token` is a coroutine function: it is asked for each connection and each renewal."""

    def __init__(self, url, token, on_message, on_gap=lambda *gap: None, on_end=lambda code: None):
        self._url, self._token, self._on_end = url, token, on_end
        self._conversations = {}
        self._callbacks = (on_message, on_gap)
        self._seen = Seen()
        self._ids = (f"{os.urandom(6).hex()}-{n}" for n in itertools.count(1))
        self._lines = defaultdict(asyncio.Lock)  # one message of a conversation under way
        self._answers = {}
        self._open = asyncio.Event()
        self._ws = self._welcome = self._renewal = None
        self._heard = self._failures = 0
        self._leaving = asyncio.Event()
        self._is_ended = False

    async def run(self):
        """Stays connected until the gateway forbids it or `close` is called; returns the close code, 1000 after `close`."""
        try:
            code = await self._stay()
        finally:
            self._is_ended = True
            self._open.set()  # who waits for a session hears that there is none
        self._on_end(code)
        return code

    async def _stay(self):
        while not self._leaving.is_set():
            started, code, announced = None, None, None
            try:
                headers = {"Authorization": f"Bearer {await self._token()}"}
                if self._leaving.is_set():
                    break
                async with connect(self._url, subprotocols=["im.v1.json"], additional_headers=headers, ping_interval=None, close_timeout=2, proxy=None) as ws:
                    await self._greet(ws)
                    started = time.monotonic()
                    code, announced = await self._session(ws)
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd else None  # in place of a welcome
            except (OSError, TimeoutError, InvalidHandshake, ValueError):
                pass  # no session came about
            if code in FINAL and not self._leaving.is_set():
                return code
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaving.wait(), self._delay(code, announced, started))
        return 1000

    async def send(self, recipient, content):
        """Returns the sequence number once the message is accepted, over reconnects too; raises SendError where it is refused for good or the client ends."""
        msg_id = next(self._ids)
        self._seen.add(msg_id)
        frame = json.dumps({"type": "send_msg", "msg_id": msg_id, "recipient": recipient, "content": content, "timestamp": round(time.time() * 1000)})
        async with self._lines[recipient]:
            for refusals in itertools.count():
                answer = await self._ask(msg_id, frame)
                if answer["type"] == "ack":
                    self._conversation(recipient).place(answer["sequence_number"], None)
                    return answer["sequence_number"]
                if not answer.get("retryable"):
                    raise SendError(answer["error_code"])
                pause = min(2**refusals, 8) * random.uniform(0.5, 1)
                await asyncio.sleep(answer["retry_after_ms"] / 1000 if "retry_after_ms" in answer else pause)

    async def close(self):
        self._leaving.set()
        if self._ws is not None:
            await self._ws.close(1000)

    async def _ask(self, msg_id, frame):
        """Sends until there is an answer: again after a while, and on the next connection."""
        while True:
            await self._open.wait()
            if self._is_ended:
                raise SendError("CLIENT_ENDED")
            if len(frame.encode()) > self._welcome["max_message_bytes"]:
                raise SendError("CONTENT_TOO_LONG")
            answer = self._answers[msg_id] = asyncio.get_running_loop().create_future()
            try:
                await self._ws.send(frame)
                return await asyncio.wait_for(answer, ANSWER_TIMEOUT_S)
            except (TimeoutError, ConnectionClosed):
                pass
            finally:
                self._answers.pop(msg_id, None)
            await asyncio.sleep(0)  # a closed connection refuses at once: the session has to get its turn to see that

    async def _greet(self, ws):
        self._ws = ws
        if self._leaving.is_set():
            await ws.close(1000)
        self._welcome = json.loads(await asyncio.wait_for(ws.recv(), WELCOME_TIMEOUT_S))
        self._heard = time.monotonic()
        self._renew_within(self._welcome)
        self._open.set()

    async def _session(self, ws):
        """Returns the close code, and the `reconnect_after_ms` of a gateway that announced its end."""
        announced = None
        heartbeats = asyncio.create_task(self._beat(ws))
        try:
            async for text in ws:
                self._heard = time.monotonic()
                frame = json.loads(text)
                if frame["type"] == "shutdown":
                    announced = frame["reconnect_after_ms"] / 1000
                else:
                    await self._take(frame)
        except ConnectionClosed:
            pass
        finally:
            self._open.clear()
            self._ws = None
            self._renewal.cancel()
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(ConnectionClosed(None, None))
            heartbeats.cancel()
        return ws.close_code, announced

    async def _take(self, frame):
        kind, msg_id = frame["type"], frame.get("msg_id")
        if kind == "message":
            if frame.get("ack_required"):
                with contextlib.suppress(ConnectionClosed):  # without its ack it comes again, and is not shown twice
                    await self._ws.send(json.dumps({"type": "ack", "msg_id": msg_id}))
            mine = frame["recipient"] == self._welcome["user_id"]
            conversation = self._conversation(frame["sender"] if mine else frame["recipient"])
            conversation.place(frame["sequence_number"], frame if self._seen.add(msg_id) else None)
        elif kind in ("ack", "error"):
            answer = self._answers.get(msg_id)
            if answer is not None and not answer.done():
                answer.set_result(frame)
        elif kind == "auth":
            self._renew_within(frame)
        # Heartbeats are signs of life and nothing more; types of a later protocol are passed over.

    async def _beat(self, ws):
        """Our pings' pongs would do as well; frames show that the gateway reads."""
        while True:
            await asyncio.sleep(self._welcome["heartbeat_interval_ms"] / 1000)
            if time.monotonic() - self._heard >= self._welcome["heartbeat_timeout_ms"] / 1000:
                ws.transport.abort()  # nobody would answer a close frame
                return
            try:
                await ws.send('{"type":"heartbeat"}')
            except ConnectionClosed:
                return

    def _renew_within(self, frame):
        """By the gateway's clock alone: ours may be wrong by more than the token's life."""
        if self._renewal is not None:
            self._renewal.cancel()
        self._renewal = asyncio.create_task(self._renew((frame["token_expires_at"] - frame["timestamp"]) / 1000))

    async def _renew(self, life):
        """Cancelled by the answer; what is left of the life allows another try or two."""
        while life > 1:
            pause = max(1, 0.8 * life)
            await asyncio.sleep(pause)
            life -= pause
            try:
                await self._ws.send(json.dumps({"type": "auth", "token": await self._token()}))
            except OSError:
                continue
            except ConnectionClosed:
                return

    def _conversation(self, name):
        if name not in self._conversations:
            self._conversations[name] = Conversation(name, *self._callbacks)
        return self._conversations[name]

    def _delay(self, code, announced, started):
        """Full jitter, so that clients which were lost together do not come back together."""
        if started is not None and time.monotonic() - started >= STEADY_S:
            self._failures = 0
        if code == 1012 and announced is not None:
            return announced
        if code == 4002:
            return ABUSE_DELAY_S
        if code in SOON and self._failures == 0:
            self._failures = 1
            return random.uniform(0, 1)
        ceiling = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return random.uniform(0, ceiling)
