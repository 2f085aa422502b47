/** A socket that remembers what was done to it, and a driver over such sockets. Whether the kernel takes bytes is up to the test. */
import type { Socket, SocketDriver } from '../../src/ports.ts'

export class FakeSocket {
  /** Each write as it came. */
  readonly writes: Buffer[] = []
  /** Bytes that the kernel has not taken. */
  buffered = 0
  /** While true writes stay in the socket. */
  stalled = false
  pings = 0
  paused = false
  closedWith: { code: number, reason: string } | undefined
  terminated = false

  get socket (): Socket { return this as unknown as Socket }

  /** All frames written so far, parsed. */
  get frames (): Array<Record<string, unknown>> {
    return parseFrames(Buffer.concat(this.writes))
  }

  /** Types of all frames written so far. */
  get types (): unknown[] { return this.frames.map((frame) => frame.type) }

  last (type: string): Record<string, unknown> | undefined {
    return this.frames.findLast((frame) => frame.type === type)
  }
}

/** Text frames of a server, one after another, as their JSON. */
export function parseFrames (bytes: Buffer): Array<Record<string, unknown>> {
  const frames: Array<Record<string, unknown>> = []
  let at = 0
  while (at < bytes.length) {
    if (bytes[at] !== 0x81) throw new Error(`not the start of a text frame: ${String(bytes[at])}`)
    let length = bytes[at + 1] as number
    at += 2
    if (length === 126) {
      length = bytes.readUInt16BE(at)
      at += 2
    } else if (length === 127) {
      length = Number(bytes.readBigUInt64BE(at))
      at += 8
    }
    frames.push(JSON.parse(bytes.toString('utf8', at, at + length)) as Record<string, unknown>)
    at += length
  }
  return frames
}

const of = (socket: Socket): FakeSocket => socket as unknown as FakeSocket

export const fakeDriver: SocketDriver = {
  write (socket, frames) {
    const fake = of(socket)
    fake.writes.push(frames)
    if (fake.stalled) fake.buffered += frames.length
    return !fake.stalled
  },
  bufferedBytes: (socket) => of(socket).buffered,
  ping (socket) { of(socket).pings++ },
  close (socket, code, reason) { of(socket).closedWith ??= { code, reason } },
  terminate (socket) { of(socket).terminated = true },
  pause (socket) { of(socket).paused = true },
  resume (socket) { of(socket).paused = false }
}
