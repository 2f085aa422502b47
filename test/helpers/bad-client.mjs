/** A client that connects, and does everything else wrong that a client can do wrong. */
import { createInterface } from 'node:readline'
import WebSocket from 'ws'

const { IM_URL, IM_TOKEN_URL } = process.env
const tell = (event) => { process.stdout.write(`${JSON.stringify(event)}\n`) }
const token = await (await fetch(IM_TOKEN_URL)).text()
const unsent = []
let socket
let lastId = 0

function connect () {
  socket = new WebSocket(IM_URL, ['im.v1.json', `bearer.${token}`], { autoPong: false })
  socket.on('message', (data) => { take(JSON.parse(data)) })
  // Whatever the gateway meant by it.
  socket.on('close', () => { setTimeout(connect, 100) })
  socket.on('error', () => {})
}

function take (frame) {
  if (frame.type === 'welcome') {
    for (const message of unsent) write(message)
    socket.send('{"type":"heartbeat","timestamp":"now"}')
    renewAt(frame.token_expires_at)
  } else if (frame.type === 'auth') renewAt(frame.token_expires_at)
  else if (frame.type === 'message') {
    const { msg_id: msgId, recipient, sender, content, sequence_number: n } = frame
    tell({ event: 'message', msg_id: msgId, conversation: recipient === 'ann' ? sender : recipient, content, sequence_number: n })
  } else if (frame.type === 'error') for (const message of unsent) write(message)
}

// By a clock that may be wrong, and with the token that it has.
function renewAt (expiresAt) {
  setTimeout(() => { if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ type: 'auth', token })) }, Math.max(0, expiresAt - Date.now() - 1_000))
}

function write ({ to, content }) {
  socket.send(JSON.stringify({ type: 'send_msg', msg_id: `bad-${process.pid}-${++lastId}`, recipient: to, content, timestamp: Date.now() }))
}

connect()
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { do: what, ref, to, content } = JSON.parse(line)
    if (what === 'close') socket.close(1000)
    else {
      unsent.push({ to, content })
      if (socket.readyState === WebSocket.OPEN) write({ to, content })
      tell({ event: 'sent', ref, sequence_number: 0 })
    }
  })
  .on('close', () => { process.exit() })
