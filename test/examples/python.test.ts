/** examples/python/im_client.py, on sockets and a clock that the test moves; what it does against a gateway is in test/integration/conformance.test.ts. */
import { join } from 'node:path'
import t from 'tap'
import { runPython } from '../helpers/python.ts'

const PATH = join(import.meta.dirname, '../../examples/python/im_client.py')
const HARNESS = `
ConnectionClosed, SendError = space["ConnectionClosed"], space["SendError"]
space["random"] = types.SimpleNamespace(uniform=lambda low, high: high)
WELCOME = {"type": "welcome", "user_id": "ann", "heartbeat_interval_ms": 30000, "heartbeat_timeout_ms": 90000, "max_message_bytes": 10240, "token_expires_at": 3600000, "timestamp": 0}

def message(number):
    return {"type": "message", "msg_id": f"m{number}", "sender": "bob", "recipient": "ann", "sequence_number": number, "ack_required": True}

class Socket:
    """Closed as soon as it has given its frames; what is written before is kept."""
    def __init__(self, code, *frames, is_closed=False, seconds=0):
        self.close_code, self.frames, self.is_closed, self.seconds, self.sent = code, list(frames), is_closed, seconds, []
    async def __aenter__(self):
        return self
    async def __aexit__(self, *error):
        pass
    def __aiter__(self):
        return self
    async def recv(self):
        return json.dumps(WELCOME)
    async def __anext__(self):
        if self.frames:
            return json.dumps(self.frames.pop(0))
        await asyncio.sleep(self.seconds)
        self.is_closed = True
        raise StopAsyncIteration
    async def send(self, text):
        self.sent.append(text)
        if len(self.sent) > 100:
            sys.exit("the loop stands still")
        if self.is_closed:
            raise ConnectionClosed

class World:
    def __init__(self, *sockets, token_seconds=0):
        self.sockets, self.token_seconds, self.tokens, self.connected, self.shown, self.ended = list(sockets), token_seconds, 0, 0, [], []
        space["connect"] = self.connect
        self.client = space["ImClient"]("wss://gateway", self.token, lambda conversation, message: self.shown.append(message["msg_id"]), on_end=self.ended.append)
    async def token(self):
        self.tokens += 1
        await asyncio.sleep(self.token_seconds)
        return "token"
    def connect(self, url, **options):
        self.connected += 1
        if not self.sockets:
            raise OSError
        return self.sockets.pop(0)
    async def send(self):
        try:
            return await asyncio.wait_for(self.client.send("bob", "hi"), 60)
        except SendError as refused:
            return refused.code
        except TimeoutError:
            return "no answer"

async def unacknowledged():
    world = World(Socket(4403, message(1), message(2), message(3), is_closed=True))
    return await world.client.run(), world.shown

async def closed_under():
    world = World(Socket(4403, is_closed=True))
    sending = asyncio.create_task(world.send())
    await asyncio.sleep(0)
    return await world.client.run(), await sending

async def forbidden():
    world = World(Socket(4403, seconds=5))
    running = asyncio.create_task(world.client.run())
    sending = [asyncio.create_task(world.send()) for _ in range(2)]
    return await running, world.ended, [await sent for sent in sending], await world.send()

async def cancelled():
    world = World(token_seconds=10)
    running = asyncio.create_task(world.client.run())
    sending = asyncio.create_task(world.send())
    await asyncio.sleep(1)
    running.cancel()
    return await sending, world.ended

async def left(seconds):
    world, loop = World(token_seconds=1), asyncio.get_running_loop()
    running = asyncio.create_task(world.client.run())
    sending = asyncio.create_task(world.send())
    await asyncio.sleep(seconds)
    await world.client.close()
    return await running, world.ended, world.connected, round(loop.time(), 3), await sending

async def left_before():
    world = World()
    await world.client.close()
    return await world.client.run(), world.ended, world.tokens
`

/** What the coroutine returns; nothing is compared where there is no Python. */
function gives (name: string, rows: Readonly<Record<string, unknown>>): void {
  t.test(name, async (t) => {
    for (const [call, wanted] of Object.entries(rows)) {
      const found = runPython(t, PATH, `${HARNESS}print(json.dumps(FastLoop().run_until_complete(${call})))`)
      if (found !== undefined) t.strictSame(found, wanted, call)
    }
  })
}

gives('messages before a close are shown, though their acks cannot be written any more', { 'unacknowledged()': [4403, ['m1', 'm2', 'm3']] })
gives('a connection that is closed already does not stop the loop', { 'closed_under()': [4403, 'CLIENT_ENDED'] })
gives('what is sent is rejected when the client ends, and after', {
  'forbidden()': [4403, [4403], ['CLIENT_ENDED', 'CLIENT_ENDED'], 'CLIENT_ENDED'],
  'cancelled()': ['CLIENT_ENDED', []]
})
gives('a user who leaves while the token is fetched or in the pause ends it at once, with 1000', {
  'left(0.5)': [1000, [1000], 0, 1, 'CLIENT_ENDED'],
  'left(1.1)': [1000, [1000], 1, 1.1, 'CLIENT_ENDED'],
  'left(2.6)': [1000, [1000], 2, 2.6, 'CLIENT_ENDED'],
  'left_before()': [1000, [1000], 0]
})
