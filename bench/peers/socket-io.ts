/** Socket.IO 4, WebSocket alone; the token is checked in its middleware, everybody joins one room. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Server } from 'socket.io'
import { control, groupMessage, PING_INTERVAL_MS, userOf } from './control.ts'
import { ackOf, routeTo, type SendMsg } from './im.ts'

const route = routeTo(process.argv[2] ?? '')
const http = createServer()
const io = new Server(http, { transports: ['websocket'], pingInterval: PING_INTERVAL_MS, pingTimeout: 60_000, serveClient: false })
io.use((socket, next) => {
  const user = userOf(socket.handshake.headers.authorization)
  socket.data = { user }
  next(user === undefined ? new Error('unauthorized') : undefined)
})
io.on('connection', (socket) => {
  void socket.join('group')
  const { user } = socket.data as { user: string }
  void socket.join(user)
  socket.on('send', (message: SendMsg) => {
    route(user, message).then((response) => { socket.emit('ack', ackOf(message, response)) }, () => { socket.disconnect() })
  })
})

const ACK_TIMEOUT_MS = 5_000
let sent = 0
http.listen(0, '127.0.0.1', 4096, () => {
  control((http.address() as AddressInfo).port, {
    broadcast: (count) => { for (let i = 0; i < Number(count); i++) io.to('group').emit('message', groupMessage(++sent)) },
    /** As `pushAll` of bench/lib/callers.ts; resolves to the number of those acknowledged. */
    push: async (from, count, atOnce, users) => {
      let [begun, acknowledged] = [0, 0]
      const work = async (): Promise<void> => {
        while (begun < Number(count)) {
          const n = Number(from) + begun++
          const answers = await io.to(`u${n % Number(users)}`).timeout(ACK_TIMEOUT_MS).emitWithAck('push', groupMessage(Math.floor(n / Number(users)) + 1)) as unknown[]
          acknowledged += answers.length
        }
      }
      await Promise.all(Array.from({ length: Number(atOnce) }, work))
      return acknowledged
    }
  })
})
