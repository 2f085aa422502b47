/** docs/write-a-client.md: its frames are frames of the protocol, its tables those of the code, and its snippets, one after the other, are a client. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Ajv } from 'ajv'
import t from 'tap'
import ts from 'typescript'
import WebSocket from 'ws'
import { ABUSE_DELAY_MS, FIRST_BACKOFF_MS, SPREAD_MS } from '../../../client/src/reconnect.ts'
import { CLIENT_FRAMES } from '../../../scripts/docs/client-frames.ts'
import { SERVER_FRAMES } from '../../../scripts/docs/server-frames.ts'
import { CLOSE } from '../../../src/protocol/close-codes.ts'
import { decode } from '../../../src/protocol/decode.ts'
import { startApp, tokenFor } from '../../helpers/app.ts'
import { eventually } from '../../helpers/bus-conformance.ts'
import { BEARER, imCaller } from '../../helpers/im-caller.ts'
import { runPython } from '../../helpers/python.ts'

type Frame = Readonly<Record<string, unknown>>
interface GuideClient {
  begin (around: { readonly url: string, readonly token: () => Promise<string>, readonly history: (conversation: string, after: number) => Promise<Frame[]>, readonly show: (message: Frame, conversation: string) => void, readonly gap: (conversation: string, after: number, before: number) => void, readonly ended: (code: number) => void }): Promise<void>
  send (recipient: string, content: string): Promise<number>
  afterClose (code: number, announcedMs: number | undefined, livedMs: number | undefined): number | undefined
  isConnected (): boolean
}

const guide = readFileSync(new URL('../../../docs/write-a-client.md', import.meta.url), 'utf8')
const blocks = (language: string): string[] => [...guide.matchAll(/^```(\w+)\n([^]*?)^```$/gm)].filter(([, found]) => found === language).map(([, , text = '']) => text)
const typescript = blocks('ts').join('\n')
const PATIENCE_MS = 5_000
const STEADY_MS = 10_000
const CODES = [...new Set(Object.values(CLOSE).map(({ code }) => code)), 1011, 4999]
const ANNOUNCED = [undefined, 740]
/** After each code, without and with what a `shutdown` frame announced, where every random number is a half. */
const DELAYS = CODES.map((code) => ANNOUNCED.map((announcedMs) => delayAfter(code, announcedMs)))

function delayAfter (code: number, announcedMs: number | undefined): number | undefined {
  switch (Object.values(CLOSE).find((row) => row.code === code)?.reconnect) {
    case 'no': return undefined
    case 'yes':
    case 'after-token': return SPREAD_MS / 2
    case 'after-delay': return code === CLOSE.shutdown.code ? announcedMs ?? SPREAD_MS / 2 : ABUSE_DELAY_MS
    default: return FIRST_BACKOFF_MS / 2
  }
}

t.test('each frame of the guide is one that a gateway takes or sends', async (t) => {
  const ajv = new Ajv({ strict: false })
  const lines = blocks('json').flatMap((block) => block.trim().split('\n'))
  const types = new Set<string>()
  for (const line of lines) {
    const frame = JSON.parse(line) as { readonly type: string }
    types.add(frame.type)
    const schema = SERVER_FRAMES[frame.type as keyof typeof SERVER_FRAMES]?.schema
    t.ok((frame.type in CLIENT_FRAMES && decode(line).ok) || (schema !== undefined && ajv.compile(schema)(frame)), line)
  }
  t.strictSame([...types].sort(), [...new Set([...Object.keys(CLIENT_FRAMES), ...Object.keys(SERVER_FRAMES)])].sort(), 'every type is shown')
})

t.test('its table of close codes is the one of the code', async (t) => {
  const rows = [...guide.matchAll(/^\| ([\d, ]+)(?:, any other)? \| (.+) \|$/gm)].map(([, codes = '', text = '']) => ({ codes: codes.split(', ').map(Number), text }))
  for (const { code, reconnect } of Object.values(CLOSE)) {
    const texts = rows.filter(({ codes }) => codes.includes(code)).map(({ text }) => text)
    const wanted = { no: /not come back/, yes: /random part of a second/, 'after-token': /fresh token/, 'after-delay': code === CLOSE.shutdown.code ? /reconnect_after_ms/ : /after 30 s/, backoff: /back-off/, 'after-fix': /back-off/ }[reconnect]
    t.equal(texts.length, 1, String(code))
    t.match(texts[0], wanted, String(code))
  }
})

t.test('the TypeScript of the guide is sound, and a client of a real node', async (t) => {
  const folder = t.testdir({})
  const path = join(folder, 'client.ts')
  writeFileSync(path, `${typescript}
export function begin (given: Surroundings): Promise<void> { around = given; return connect() }
export function isConnected (): boolean { return socket !== undefined }
export { send, afterClose }
`)
  const program = ts.createProgram([path], { strict: true, target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext, lib: ['lib.es2023.d.ts', 'lib.dom.d.ts'], types: [], skipLibCheck: true })
  t.same(ts.getPreEmitDiagnostics(program).map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, ' ')), [])
  program.emit()

  Object.assign(globalThis, { WebSocket })
  const client = await import(pathToFileURL(join(folder, 'client.js')).href) as GuideClient
  const node = await startApp(t, { GRPC_AUTH_TOKEN: BEARER, IM_ATTEMPT_TIMEOUT: '300ms' })
  const im = imCaller(t, node)
  const shown: string[] = []
  const asked: string[] = []
  const told: unknown[] = []
  const message = (n: number): Frame => ({ msg_id: `h${n}`, sender: 'bob', recipient: 'ann', content: 'from the history', sequence_number: n })
  const late: Array<Frame[] | 'down'> = []
  let sent = 0
  await client.begin({
    url: node.url,
    token: async () => tokenFor('ann', { issuedAtS: Math.floor(Date.now() / 1_000) + ++sent }),
    history: async (conversation, after) => {
      asked.push(`${conversation} ${after}`)
      if (conversation === 'bob' && late[0]?.length === 0) await im.push({ msgId: 'p11', sequenceNumber: 11n, conversationId: 'ann' })
      const page = conversation === 'bob' ? late.shift() : undefined
      if (page === 'down') throw new Error(page)
      if (page !== undefined) return page
      return after === 2 ? [message(3), message(4)] : after === 5 ? [message(7)] : []
    },
    show: ({ msg_id: id }, conversation) => { shown.push(`${conversation} ${String(id)}`) },
    gap: (...gap) => { told.push(gap) },
    ended: (code) => { told.push(code) }
  })
  await eventually(() => client.isConnected(), PATIENCE_MS)

  t.equal(await client.send('bob', 'hello'), 1)
  t.match(await im.push({ msgId: 'p2', sequenceNumber: 2n, conversationId: 'ann' }), { deliveredCount: 1 }, 'acknowledged')
  await im.push({ msgId: 'p2', sequenceNumber: 2n, conversationId: 'ann' })
  t.match(await im.push({ msgId: 'p5', sequenceNumber: 5n, conversationId: 'ann' }), { deliveredCount: 1 })
  await eventually(() => shown.length === 4, PATIENCE_MS)
  t.strictSame(shown, ['bob p2', 'bob h3', 'bob h4', 'bob p5'], 'once, in order, with what was missing')
  await im.push({ msgId: 'p9', sequenceNumber: 9n, conversationId: 'ann' })
  await eventually(() => shown.length === 6, PATIENCE_MS)
  t.strictSame(shown.slice(4), ['bob h7', 'bob p9'])
  t.strictSame(told.splice(0), [['bob', 5, 7], ['bob', 7, 9]], 'what the history does not have either')

  let behaviours = 0
  node.services.im.behave = () => ++behaviours === 1 ? { errorCode: 10 } : undefined
  const first = client.send('bob', 'a retryable error comes first')
  const second = client.send('bob', 'and this one waits for it')
  t.strictSame([await first, await second], [2, 3])

  await t.rejects(client.send('bob', 'x'.repeat(10_240)), { message: 'CONTENT_TOO_LONG' })

  node.services.im.behave = () => ({ silent: true })
  const open = client.send('carol', 'no answer before the session ends')
  await eventually(() => node.services.im.requests.at(-1)?.recipient === 'carol', PATIENCE_MS)
  node.services.im.behave = () => undefined
  const before = asked.length
  late.push([], [message(10)])
  for (const connection of node.app.gateway.hub.user('ann')?.connections.slice() ?? []) node.app.gateway.sessions.close(connection, 'heartbeatTimeout')
  t.equal(await open, 1, 'sent again in the next session')
  t.ok(asked.slice(before).includes('bob 9'), 'which asks for what it missed')
  await eventually(() => shown.length === 8, PATIENCE_MS)
  t.strictSame(shown.slice(6), ['bob h10', 'bob p11'], 'what came during a page that does not have it is asked for')

  const { setTimeout: wait } = globalThis
  t.teardown(() => { globalThis.setTimeout = wait })
  const sooner = (call: () => void, ms?: number, ...args: []): unknown => wait(call, ms === 30_000 ? 100 : ms, ...args)
  globalThis.setTimeout = sooner as typeof setTimeout
  late.push('down', [message(12)])
  for (const connection of node.app.gateway.hub.user('ann')?.connections.slice() ?? []) node.app.gateway.sessions.close(connection, 'heartbeatTimeout')
  await eventually(() => shown.length === 9, PATIENCE_MS)
  t.strictSame(shown.slice(8), ['bob h12'], 'a history that failed is asked again, though nothing shows a gap')
  globalThis.setTimeout = wait

  t.match(await im.disconnect('ann'), { disconnected: 1 })
  await eventually(() => told.length > 0, PATIENCE_MS)
  t.strictSame(told, [CLOSE.disconnected.code], 'it says that it has ended, and no other number was missing')
  const { random } = Math
  t.teardown(() => { Math.random = random })
  Math.random = () => 0.5
  t.strictSame(CODES.map((code) => ANNOUNCED.map((announcedMs) => client.afterClose(code, announcedMs, STEADY_MS))), DELAYS)
  t.strictSame([0, 1, 2].map(() => client.afterClose(CLOSE.lost.code, undefined, 0)), [1, 2, 4].map((times) => FIRST_BACKOFF_MS * times), 'sessions that do not last back off')
  t.strictSame([CLOSE.deviceLimit, CLOSE.replaced, CLOSE.lost].map(({ code }) => client.afterClose(code, undefined, undefined)), [undefined, undefined, 8 * FIRST_BACKOFF_MS], 'a close in place of a welcome')
})

t.test('the Python of the guide comes back by the same table, and shows messages once and in order', async (t) => {
  const path = join(t.testdir({}), 'client.py')
  writeFileSync(path, blocks('python').join('\n'))
  const harness = `
space["random"] = types.SimpleNamespace(random=lambda: 0.5)

shown, sent = [], []
class Around:
    async def history(self, conversation, after):
        return {2: [message(3), message(4)], 4: [message(5), message(7)]}.get(after, [])
    def show(self, message, conversation):
        shown.append(conversation + " " + message["msg_id"])
    def gap(self, *gap):
        shown.append(gap)
class Socket:
    async def send(self, text):
        sent.append(json.loads(text))
def message(number):
    return {"type": "message", "msg_id": f"m{number}", "sender": "bob", "recipient": "ann", "sequence_number": number, "ack_required": True}
async def talk():
    space.update(around=Around(), socket=Socket(), me="ann")
    sending = asyncio.create_task(space["send"]("bob", "hi"))
    await asyncio.sleep(0)
    await space["answered"]({"type": "error", "msg_id": sent[0]["msg_id"], "error_code": "OVERLOADED", "retryable": True, "retry_after_ms": 1})
    while len(sent) == 1:
        await asyncio.sleep(0.001)
    await space["answered"]({"type": "ack", "msg_id": sent[1]["msg_id"], "sequence_number": 1})
    for number in (2, 2, 5, 8, 10):
        await space["received"](message(number))
    for _ in range(500):
        if len(shown) < 9:
            await asyncio.sleep(0.01)
    return await sending
number = asyncio.run(talk())

async def refuse():
    times, loop = [], asyncio.get_running_loop()
    class Refusing:
        async def send(self, text):
            times.append(round(loop.time(), 3))
            loop.call_soon(lambda: space["background"](space["answered"]({"type": "error", "msg_id": json.loads(text)["msg_id"], "error_code": "SERVICE_UNAVAILABLE", "retryable": True})))
    space.update(socket=Refusing(), lines={})
    sending = asyncio.create_task(space["send"]("bob", "hi"))
    await asyncio.sleep(30.1)
    sending.cancel()
    return times
times = FastLoop().run_until_complete(refuse())
async def overtake():
    shown.clear()
    pages = [[], [message(11)]]
    class Late(Around):
        async def history(self, conversation, after):
            if len(pages) == 2:
                await space["received"](message(12))
            return pages.pop(0) if pages else []
    space.update(around=Late(), socket=Socket(), lines={})
    await space["catch_up"](space["conversations"]["bob"])
    await asyncio.sleep(2)
    given_up = asyncio.create_task(space["send"]("carol", "nobody waits for its answer"))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    await space["answered"]({"type": "ack", "msg_id": sent[-1]["msg_id"], "sequence_number": 1})
    return shown[:]
before, wrote = shown[:], sent[:]
late = FastLoop().run_until_complete(overtake())
delays = [[space["after_close"](code, announced, 10_000) for announced in (None, 740)] for code in json.loads(sys.argv[2])]
print(json.dumps({"delays": delays, "times": times, "number": number, "shown": before, "late": late, "sent": [[frame["type"], frame["msg_id"]] for frame in wrote]}))
`
  const told = runPython(t, path, harness, JSON.stringify(CODES)) as { readonly delays: unknown, readonly times: number[], readonly number: number, readonly shown: string[], readonly late: string[], readonly sent: Array<readonly [type: string, msgId: string]> } | undefined
  if (told === undefined) return
  t.same(told.delays, DELAYS.map((delays) => delays.map((delay) => delay ?? null)))
  t.same(told.times, Array.from({ length: 41 }, (_, n) => 0.75 * n), 'a message that is refused for half a minute goes once for each refusal')
  t.equal(told.number, 1)
  t.strictSame(told.shown, ['bob m2', 'bob m3', 'bob m4', 'bob m5', ['bob', 5, 7], 'bob m7', 'bob m8', ['bob', 8, 10], 'bob m10'])
  t.strictSame(told.late, ['bob m11', 'bob m12'], 'what came during a page that does not have it is asked for')
  const [first, again, ...acks] = told.sent
  t.strictSame([first?.[0], first], ['send_msg', again], 'the same frame again')
  t.strictSame(acks, [['ack', 'm2'], ['ack', 'm2'], ['ack', 'm5'], ['ack', 'm8'], ['ack', 'm10']])
})

t.test('the Python of the guide asks again for what the history did not tell, and connects no more when the user has left', async (t) => {
  const path = join(t.testdir({}), 'client.py')
  writeFileSync(path, blocks('python').join('\n'))
  const told = runPython(t, path, `
space["random"] = types.SimpleNamespace(random=lambda: 0.5)
async def miss():
    asked, shown, loop = [], [], asyncio.get_running_loop()
    class Around:
        is_down = True
        async def history(self, conversation, after):
            asked.append(loop.time())
            if self.is_down:
                raise OSError
            return [message(2)] if after == 1 else []
        def show(self, message, conversation):
            shown.append(message["msg_id"])
        def gap(self, *gap):
            shown.append(gap)
    class Socket:
        async def send(self, text):
            pass
    def message(number):
        return {"type": "message", "msg_id": f"m{number}", "sender": "bob", "recipient": "ann", "sequence_number": number}
    around = Around()
    space.update(around=around, socket=Socket(), me="ann")
    await space["received"](message(1))
    await space["resume"]()
    await asyncio.sleep(50)
    around.is_down = False
    await asyncio.sleep(50)
    around.is_down = True
    await space["resume"]()
    await asyncio.sleep(5)
    await space["received"](message(5))
    await asyncio.sleep(95)
    await space["resume"]()
    await asyncio.sleep(5)
    space["socket"] = None
    await asyncio.sleep(95)
    return asked, shown
async def leave(seconds):
    connected, ended = [], []
    class Around:
        url = "wss://gateway"
        async def token(self):
            await asyncio.sleep(1)
            return "token"
        def ended(self, code):
            ended.append(code)
    async def connect(url, **options):
        connected.append(url)
        raise OSError
    space.update(around=Around(), connect=connect, leaving=False, failures=0)
    running = asyncio.create_task(space["run"]())
    await asyncio.sleep(seconds)
    await space["close"]()
    await running
    return len(connected), ended
asked, shown = FastLoop().run_until_complete(miss())
print(json.dumps({"asked": asked, "shown": shown, "left": [FastLoop().run_until_complete(leave(seconds)) for seconds in (0.5, 1.1, 1.5)]}))
`)
  if (told === undefined) return
  t.strictSame(told, {
    asked: [0, 30, 60, 60, 100, 106, 200],
    shown: ['m1', 'm2', ['bob', 2, 5], 'm5'],
    left: [[0, [1000]], [1, [1000]], [1, [1000]]]
  }, 'each half minute of a session, not for a gap that was told; while the token is fetched and in the pause')
})
