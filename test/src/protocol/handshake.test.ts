import t from 'tap'
import { deviceOf, originOf, readHandshake, upgradeFault, type HandshakeOptions } from '../../../src/protocol/handshake.ts'
import { originAllowed, originRules } from '../../../src/protocol/origin.ts'

const URL = '/ws'

function read (headers: string[], url = URL, options: HandshakeOptions = { allowQueryToken: false }) {
  const reading = readHandshake(headers, url, options)
  return reading.ok ? reading.handshake : reading.code
}

t.test('an upgrade has one Host, one well-formed key and version 13', async (t) => {
  const right = ['Host', 'gateway.example', 'Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version', '13']
  const without = (name: string) => right.filter((_, i) => right[i - i % 2] !== name)
  t.equal(upgradeFault(right), undefined)
  for (const headers of [
    without('Host'), without('Sec-WebSocket-Key'), [...right, 'host', 'evil.example'], [...right, 'Sec-WebSocket-Key', 'dGhlIHNhbXBsZSBub25jZQ=='],
    [...without('Host'), 'Host', ''], [...without('Sec-WebSocket-Key'), 'Sec-WebSocket-Key', 'dGhl']
  ]) t.equal(upgradeFault(headers), 'INVALID_MESSAGE', headers.join(' '))
  for (const headers of [without('Sec-WebSocket-Version'), ...['8', '14', '013', '13, 8'].map((version) => [...without('Sec-WebSocket-Version'), 'Sec-WebSocket-Version', version])]) {
    t.equal(upgradeFault(headers), 'UPGRADE_REQUIRED', headers.join(' '))
  }
})

t.test('the token is taken from Authorization, then from the subprotocols, then from the query where that is allowed', async (t) => {
  const all = ['Host', 'x', 'authorization', 'bearer  one', 'Sec-WebSocket-Protocol', 'im.v1.json, bearer.two']
  t.same(read(all, '/ws?token=three', { allowQueryToken: true }), { token: 'one', queryDeviceId: undefined, subprotocol: 'im.v1.json' })
  t.match(read(all.slice(4), '/ws?token=three', { allowQueryToken: true }), { token: 'two' })
  t.match(read([], '/ws?token=three', { allowQueryToken: true }), { token: 'three', subprotocol: undefined })
  t.equal(read([], '/ws?token=three'), 'AUTH_REQUIRED')
  t.equal(read([]), 'AUTH_REQUIRED')
  t.equal(read(['Sec-WebSocket-Protocol', 'im.v1.json']), 'AUTH_REQUIRED')
})

t.test('only im.v1.json is selected, wherever it stands among the offers', async (t) => {
  t.match(read(['Sec-WebSocket-Protocol', 'bearer.a.b-c_d,im.v1.json']), { token: 'a.b-c_d', subprotocol: 'im.v1.json' })
  t.match(read(['Sec-WebSocket-Protocol', 'graphql-ws, bearer.x']), { token: 'x', subprotocol: undefined })
})

t.test('a header or a parameter given twice is INVALID_MESSAGE, even where both say the same', async (t) => {
  for (const headers of [
    ['Authorization', 'Bearer a', 'authorization', 'Bearer a'],
    ['Sec-WebSocket-Protocol', 'im.v1.json', 'sec-websocket-protocol', 'bearer.a'],
    ['Authorization', 'Bearer a', 'Origin', 'https://a.example', 'ORIGIN', 'https://b.example'],
    ['Sec-WebSocket-Protocol', 'bearer.a, bearer.b'],
    ['Sec-WebSocket-Protocol', 'bearer.a, bearer.a'],
    ['Sec-WebSocket-Protocol', 'im.v1.json, im.v1.json, bearer.a'],
    ['Sec-WebSocket-Protocol', 'bearer.a,, im.v1.json'],
    ['Sec-WebSocket-Protocol', ''],
    ['Sec-WebSocket-Protocol', 'bearer.a b']
  ]) t.equal(read(headers), 'INVALID_MESSAGE', headers.join(' '))
  for (const url of ['/ws?token=a&token=a', '/ws?device_id=a&x=1&device_id=b', '/ws?tok%65n=a&token=b']) {
    t.equal(read(['Authorization', 'Bearer a'], url, { allowQueryToken: true }), 'INVALID_MESSAGE', url)
  }
})

t.test('a malformed token, or one over 4 KiB, is INVALID_TOKEN', async (t) => {
  for (const value of ['', 'Bearer', 'Bearer ', 'Basic dXNlcjpwYXNz', 'Bearer a b', 'Bearer a,Bearer b', `Bearer ${'x'.repeat(4_097)}`]) {
    t.equal(read(['Authorization', value]), 'INVALID_TOKEN', value.slice(0, 20))
  }
  t.equal(read(['Sec-WebSocket-Protocol', 'bearer.']), 'INVALID_TOKEN')
  t.equal(read(['Sec-WebSocket-Protocol', `bearer.${'x'.repeat(4_097)}`]), 'INVALID_TOKEN')
  t.equal(read([], '/ws?token=', { allowQueryToken: true }), 'INVALID_TOKEN')
  t.match(read(['Authorization', `Bearer ${'x'.repeat(4_096)}`]), { token: 'x'.repeat(4_096) })
})

t.test('the device comes from the token, from the query only where the token names none', async (t) => {
  t.match(read(['Authorization', 'Bearer a'], '/ws?device_id=my.phone:1'), { queryDeviceId: 'my.phone:1' })
  for (const id of ['', 'a%20b', 'a/b', 'x'.repeat(65)]) t.equal(read(['Authorization', 'Bearer a'], `/ws?device_id=${id}`), 'INVALID_DEVICE', id)
  t.equal(deviceOf('phone', undefined), 'phone')
  t.equal(deviceOf(undefined, 'phone'), 'phone')
  t.equal(deviceOf('phone', 'phone'), 'phone')
  t.equal(deviceOf('phone', 'tablet'), undefined)
  t.equal(deviceOf(undefined, undefined), undefined)
  t.equal(deviceOf('a/b', undefined), undefined)
})

t.test('the origin is read from the raw headers', async (t) => {
  t.equal(originOf(['Host', 'x', 'oRiGin', 'https://a.example']), 'https://a.example')
  t.equal(originOf(['Host', 'x']), undefined)
  t.equal(originOf(['Origin']), '', 'a name without a value')
})

t.test('an origin passes by the allow-list alone: exact, or any subdomain of a wildcard [GW-CON-4]', async (t) => {
  const rules = originRules(['https://app.example.com', 'http://localhost:3000', 'https://*.Example.org', 'https://*.example.net:8443', 'https://x.example:443'], true)
  for (const origin of [
    'https://app.example.com', 'https://APP.example.com:443', 'http://localhost:3000', 'https://a.example.org', 'https://a.b.example.org:443', 'https://a.example.net:8443', 'https://x.example'
  ]) t.ok(originAllowed(rules, origin, 'gateway.example'), origin)
  for (const origin of [
    'null', '', 'https://evil.example', 'http://app.example.com', 'https://app.example.com:8443', 'https://app.example.com.evil.example', 'https://evilapp.example.com',
    'https://example.org', 'http://a.example.org', 'https://evilexample.org', 'https://a.example.org:8443', 'https://.example.org', 'https://*.example.org', 'https://a.example.org.evil.example',
    'https://a.example.net', 'https://app.example.com/', 'https://app.example.com ', 'https://user@app.example.com', 'app.example.com', 'https://evil.example/.example.org', 'https://evil.example?.example.org',
    'https://gateway.example'
  ]) t.notOk(originAllowed(rules, origin, 'gateway.example'), JSON.stringify(origin))
})

t.test('with no list only pages of the same host pass; null never does [GW-CON-4]', async (t) => {
  const rules = originRules([], true)
  t.ok(originAllowed(rules, 'https://gateway.example', 'gateway.example'))
  t.ok(originAllowed(rules, 'https://Gateway.example', 'gateway.EXAMPLE:443'))
  t.ok(originAllowed(rules, 'http://127.0.0.1:8080', '127.0.0.1:8080'))
  t.ok(originAllowed(rules, 'http://[::1]:8080', '[::1]:8080'))
  for (const [origin, host] of [
    ['https://evil.example', 'gateway.example'], ['https://gateway.example:8443', 'gateway.example'], ['https://gateway.example', 'gateway.example:8443'],
    ['null', 'gateway.example'], ['null', 'null'], ['https://gateway.example', undefined], ['https://*.example', '*.example'], ['http://gateway.example', 'gateway.example:443']
  ]) t.notOk(originAllowed(rules, origin, host), `${origin} ${host}`)
})

t.test('a request without an Origin follows ALLOW_EMPTY_ORIGIN [GW-CON-4]', async (t) => {
  for (const list of [[], ['https://a.example']]) {
    t.ok(originAllowed(originRules(list, true), undefined, 'a.example'))
    t.notOk(originAllowed(originRules(list, false), undefined, 'a.example'))
  }
})

t.test('an entry that is no origin is refused by name', async (t) => {
  for (const entry of ['*', 'https://*', 'https://', 'example.com', 'https://a.*.example', 'https://*example.com', 'https://example.com/', 'https://*.*.example.com', 'null', '']) {
    t.throws(() => originRules(['https://fine.example', entry], true), { message: `not an origin: ${JSON.stringify(entry)}` })
  }
})
