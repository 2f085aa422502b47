/** Bare `ws`, used well: the token is checked before the upgrade, a message is made into a string once. `loop` as the second argument: broadcasts write one shared frame to the sockets below. */
import { createServer } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { control, groupMessage, PING_INTERVAL_MS, userOf } from './control.ts'
import { ackOf, routeTo, type SendMsg } from './im.ts'

const [, , imAddress = '', mode] = process.argv
const route = routeTo(imAddress)
const http = createServer()
const server = new WebSocketServer({ noServer: true, maxPayload: 10_240, perMessageDeflate: false })
http.on('upgrade', (request, socket, head) => {
  const user = userOf(request.headers.authorization)
  if (user === undefined) {
    socket.end('HTTP/1.1 401 Unauthorized\r\n\r\n')
    return
  }
  server.handleUpgrade(request, socket, head, (client) => {
    client.on('message', (data) => {
      const message = JSON.parse(String(data)) as SendMsg
      route(user, message).then((response) => { client.send(JSON.stringify(ackOf(message, response))) }, () => { client.close(1011) })
    })
    client.on('error', () => {})
  })
})
setInterval(() => { for (const client of server.clients) client.ping() }, PING_INTERVAL_MS)

let sent = 0
http.listen(0, '127.0.0.1', 4096, () => {
  control((http.address() as AddressInfo).port, {
    broadcast: (count) => {
      for (let i = 0; i < Number(count); i++) {
        const text = JSON.stringify(groupMessage(++sent))
        if (mode === 'loop') loop(text)
        else for (const client of server.clients) client.send(text)
      }
    }
  })
})

function loop (text: string): void {
  const payload = Buffer.from(text)
  // One frame of text whose length takes two bytes (RFC 6455, section 5.2).
  const frame = Buffer.concat([Buffer.from([0x81, 126, payload.length >> 8, payload.length & 255]), payload])
  for (const client of server.clients) (client as WebSocket & { _socket: Socket })._socket.write(frame)
}
