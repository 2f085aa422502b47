/** @fastify/websocket as it comes, with @fastify/jwt. */
import jwt from '@fastify/jwt'
import websocket from '@fastify/websocket'
import fastify from 'fastify'
import type { AddressInfo } from 'node:net'
import { SECRET } from '../lib/tokens.ts'
import { control, groupMessage, PING_INTERVAL_MS } from './control.ts'
import { ackOf, routeTo, type SendMsg } from './im.ts'

const route = routeTo(process.argv[2] ?? '')
const app = fastify()
await app.register(jwt, { secret: SECRET })
await app.register(websocket)
app.get('/ws', { websocket: true, preValidation: async (request) => { await request.jwtVerify() } }, (socket, request) => {
  const { sub } = request.user as { sub: string }
  socket.on('message', (data) => {
    const message = JSON.parse(String(data)) as SendMsg
    route(sub, message).then((response) => { socket.send(JSON.stringify(ackOf(message, response))) }, () => { socket.close(1011) })
  })
})
await app.listen({ host: '127.0.0.1', port: 0, backlog: 4096 })
setInterval(() => { for (const client of app.websocketServer.clients) client.ping() }, PING_INTERVAL_MS)

let sent = 0
control((app.server.address() as AddressInfo).port, {
  broadcast: (count) => {
    for (let i = 0; i < Number(count); i++) {
      const text = JSON.stringify(groupMessage(++sent))
      for (const client of app.websocketServer.clients) client.send(text)
    }
  }
})
