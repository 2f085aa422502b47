import t from 'tap'
import { formatHostPort, isHost, isLoopback, isNetwork, isWildcard, parseHostPort, parseRedisAddress } from '../../../src/config/addresses.ts'
import { FORMS } from '../../../src/config/forms.ts'
import { parseOpenFiles, smallerLimit } from '../../../src/config/probe.ts'
import { parseDuration, parseSize } from '../../../src/config/units.ts'

t.test('durations and sizes are read with their units and by 1024', async (t) => {
  const durations = { 0: 0, '500ms': 500, '30s': 30_000, '1.5s': 1500, '1m30s': 90_000, '2h': 7_200_000, '0s': 0 }
  for (const [text, ms] of Object.entries(durations)) t.equal(parseDuration(text), ms, text)
  for (const text of ['', '30', 's', '30 s', '-1s', '1d', '1e3s', '9'.repeat(20) + 'h']) t.equal(parseDuration(text), undefined, text)
  const sizes = { 4096: 4096, '10KB': 10_240, '10kb': 10_240, '64MB': 67_108_864, '1GiB': 1024 ** 3, '512Mi': 536_870_912, '1.5K': 1536, '7B': 7 }
  for (const [text, bytes] of Object.entries(sizes)) t.equal(parseSize(text), bytes, text)
  for (const text of ['', 'KB', '-1', '1TB', '1e9', '9'.repeat(20)]) t.equal(parseSize(text), undefined, text)
})

t.test('addresses are told apart', async (t) => {
  for (const host of ['127.0.0.1', '127.9.9.9', '::1', 'localhost']) t.ok(isLoopback(host), host)
  for (const host of ['0.0.0.0', '10.0.0.1', '::', 'node', '::ffff:10.0.0.1']) t.notOk(isLoopback(host), host)
  for (const host of ['0.0.0.0', '::', '0:0:0:0:0:0:0:0']) t.ok(isWildcard(host), host)
  t.notOk(isWildcard('10.0.0.1'))
  t.ok(isHost('a-b.example') && isHost('::1') && isHost('gw_1'))
  t.notOk(isHost('a b') || isHost('-a') || isHost(''))
  t.same(parseHostPort('[fe80::1]:80'), { host: 'fe80::1', port: 80 })
  for (const text of ['host', 'host:0', 'host:65536', '[host]:1', '::1:80', 'u@h:1', 'h:1/x', '-:1']) t.equal(parseHostPort(text), undefined, text)
  t.equal(formatHostPort('::1', 5), '[::1]:5')
  for (const text of ['10.0.0.0/8', '10.0.0.1', '::1', 'fd00::/8']) t.ok(isNetwork(text), text)
  for (const text of ['10.0.0.0/33', '10.0.0.0/', '10.0.0.0/8/9', 'true', '*', '::/129', 'loopback']) t.notOk(isNetwork(text), text)
})

t.test('Redis is one server, a cluster or sentinels by the form of its address', async (t) => {
  t.match(parseRedisAddress('r:1'), { mode: 'single', nodes: [{ host: 'r', port: 1 }] })
  t.match(parseRedisAddress('r:1, s:2'), { mode: 'cluster', nodes: [{ host: 'r' }, { host: 's' }] })
  t.match(parseRedisAddress('cluster:r:1'), { mode: 'cluster', nodes: [{ host: 'r', port: 1 }] })
  t.match(parseRedisAddress('sentinel:main@r:1,s:2'), { mode: 'sentinel', masterName: 'main', nodes: [{ host: 'r' }, { host: 's' }] })
  for (const text of ['r', 'r:1,', 'sentinel:r:1', 'redis://r:1', 'sentinel:@r:1']) t.equal(parseRedisAddress(text), undefined, text)
})

t.test('[GW-CON-4] only whole origins are taken', async (t) => {
  for (const text of ['https://app.example.com', 'http://localhost:3000', 'https://*.example.com', 'https://[::1]:8443']) t.ok(FORMS.origin.passes(text), text)
  for (const text of ['*', 'app.example.com', 'https://a.example/', 'https://a.*.example', 'null', 'ftp://a']) t.notOk(FORMS.origin.passes(text), text)
})

t.test('services are named by host and port or by a gRPC target', async (t) => {
  for (const text of ['im:9000', 'dns:///im.svc:9000', 'dns://8.8.8.8/im:9000', 'ipv4:10.0.0.1:1,10.0.0.2:1', 'unix:/run/im.sock']) t.ok(FORMS.target.passes(text), text)
  for (const text of ['im', 'http://im:9000', 'dns:', 'im:9000 x']) t.notOk(FORMS.target.passes(text), text)
  t.notOk(FORMS.endpoint.passes('etcd:2379') || FORMS.endpoint.passes('http://etcd:2379/v3'))
})

t.test('limits of the machine are read', async (t) => {
  t.equal(parseOpenFiles('Limit  Soft  Hard  Units\nMax open files            1024                 4096                 files\n'), 1024)
  t.equal(parseOpenFiles('Max open files            unlimited            unlimited            files'), undefined)
  t.equal(smallerLimit(0, 100), 100)
  t.equal(smallerLimit(50, 100), 50)
  t.equal(smallerLimit(2 ** 63, 100), 100)
})
