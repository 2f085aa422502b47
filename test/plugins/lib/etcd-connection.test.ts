import { once } from 'node:events'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { createServer, type TLSSocket } from 'node:tls'
import t from 'tap'
import { createAuthority } from '../../helpers/certificates.ts'
import { FakeHealth } from '../../helpers/fakes.ts'
import { ManualClock } from '../../helpers/manual-clock.ts'

const authority = createAuthority()
t.teardown(() => { authority.remove() })
// The system's certificates, as far as grpc-js is concerned; it looks for them when it is loaded.
process.env['GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'] = join(t.testdir({ 'roots.pem': authority.ca }), 'roots.pem')
const { EtcdConnection } = await import('../../../plugins/lib/etcd-connection.ts')

t.test('the client certificate is shown to an etcd whose own is signed by an authority that the system knows', async (t) => {
  const [server, client] = [authority.sign('IP:127.0.0.1'), authority.sign('DNS:gateway.test')]
  for (const ca of [undefined, authority.ca]) {
    const etcd = createServer({ cert: server.cert, key: server.key, ca: authority.ca, requestCert: true, rejectUnauthorized: false, ALPNProtocols: ['h2'] })
    await once(etcd.listen(0, '127.0.0.1'), 'listening')
    const connected = once(etcd, 'secureConnection') as Promise<[TLSSocket]>
    const { port } = etcd.address() as AddressInfo
    const connection = new EtcdConnection({ endpoints: [`https://127.0.0.1:${port}`], tls: { ca, cert: client.cert, key: client.key }, timeoutMs: 10_000, clock: new ManualClock(), health: new FakeHealth() })
    const call = connection.client.kv.range({ key: Buffer.from('k') }).catch(() => {})
    const [socket] = await connected
    t.equal(socket.authorized, true, `ca ${ca === undefined ? 'of the system' : 'given'}`)
    connection.close()
    socket.destroy()
    await call
    etcd.close()
  }
})
