/**
 * A client that keeps to what the tests ask it for, slow as it may be: it collects its acks, and waits longer than it has to.
 * Its first argument names the one thing that it does wrong.
 */
import { createInterface } from 'node:readline'
import WebSocket from 'ws'

const { IM_URL, IM_TOKEN_URL } = process.env
const fault = process.argv[2]
const ACKS_MS = 1_500
const ANSWER_MS = 10_000
const FIRST_BACKOFF_MS = 500
const MAX_BACKOFF_MS = 8_000

const tell = (event) => { process.stdout.write(`${JSON.stringify(event)}\n`) }
const backoffMs = (failures) => Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** failures)
const sent = new Map()
const shown = new Set()
let toAck = []
let losses = 0
let lastId = 0
let announcedMs
let socket

async function connect (token) {
  const fresh = token ?? await (await fetch(IM_TOKEN_URL)).text()
  socket = new WebSocket(IM_URL, ['im.v1.json', `bearer.${fresh}`])
  socket.on('message', (data) => { take(JSON.parse(data)) })
  socket.on('close', closed)
  // It is refused.
  socket.on('error', () => { process.exit(1) })
}

function closed (code) {
  if (fault === 'ends after a shutdown' && code === 1012) process.exit(1)
  if (fault === 'comes back with a token of its own') connect('invented')
  else if (code === 4409 && fault !== 'comes back after 5 s') tell({ event: 'ended', code })
  else {
    const longestMs = backoffMs(losses++)
    const pauseMs = code === 1012 ? announcedMs : longestMs * (fault === 'backs off without jitter' ? 1 : Math.random())
    setTimeout(() => { connect() }, fault === 'comes back after 5 s' ? 5_000 : pauseMs)
  }
}

function take (frame) {
  const message = sent.get(frame.msg_id)
  if (frame.type === 'shutdown') announcedMs = frame.reconnect_after_ms
  else if (frame.type === 'message') show(frame, message)
  else if (message !== undefined && (frame.type === 'ack' || frame.type === 'error')) answered(message, frame)
}

function show ({ msg_id: msgId, recipient, sender, content, sequence_number: sequenceNumber, ack_required: isAckRequired }, own) {
  if (isAckRequired && toAck.push(msgId) === 1) {
    setTimeout(() => {
      socket.send(JSON.stringify({ type: 'ack', msg_ids: toAck }))
      toAck = []
    }, ACKS_MS)
  }
  const isOwn = fault === 'knows its own messages by their acks' ? own?.isAccepted : own !== undefined
  if (isOwn || shown.has(msgId)) return
  shown.add(msgId)
  tell({ event: 'message', msg_id: msgId, conversation: recipient === 'ann' ? sender : recipient, content, sequence_number: sequenceNumber })
}

function answered (message, { type, sequence_number: sequenceNumber, error_code: errorCode, retryable, retry_after_ms: retryAfterMs = 0 }) {
  if (fault !== 'never stops the timer of an answer') clearTimeout(message.timer)
  if (type === 'ack') {
    message.isAccepted = true
    tell({ event: 'sent', ref: message.ref, sequence_number: sequenceNumber })
  } else if (retryable) message.timer = setTimeout(() => { write(message) }, Math.max(retryAfterMs, backoffMs(message.refusals++)))
  else tell({ event: 'failed', ref: message.ref, error_code: errorCode })
}

function write (message) {
  message.timer = setTimeout(() => { write(message) }, ANSWER_MS)
  socket.send(message.text)
}

connect()
createInterface({ input: process.stdin })
  .on('line', (line) => {
    const { ref, to, content } = JSON.parse(line)
    const msgId = `faulty-${process.pid}-${++lastId}`
    const message = { ref, refusals: 0, text: JSON.stringify({ type: 'send_msg', msg_id: msgId, recipient: to, content, timestamp: Date.now() }) }
    sent.set(msgId, message)
    write(message)
  })
  .on('close', () => { process.exit() })
