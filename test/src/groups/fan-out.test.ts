import t from 'tap'
import type { UserEntry } from '../../../src/connections/hub.ts'
import { Hub } from '../../../src/connections/hub.ts'
import { FanOut, type FanOutOptions } from '../../../src/groups/fan-out.ts'
import { GroupEntry } from '../../../src/groups/group-entry.ts'
import { connect } from '../../helpers/connections.ts'

interface Sent { readonly userId: string, readonly frame: Buffer, readonly turn: number }

/** An outbox that notes in which turn of the loop each frame came. */
class Recorder {
  readonly sent: Sent[] = []
  #turn = 0

  constructor () {
    const next = () => {
      this.#turn++
      if (this.#turn < 10_000) this.#timer = setImmediate(next)
    }
    this.#timer = setImmediate(next)
  }

  #timer: NodeJS.Immediate
  get turn (): number { return this.#turn }
  stop (): void { clearImmediate(this.#timer) }

  readonly outbox = {
    send: ({ user }: { user: UserEntry }, frame: Buffer) => {
      this.sent.push({ userId: user.userId, frame, turn: this.#turn })
      return 'queued' as const
    }
  }

  perTurn (): number[] {
    const counts = new Map<number, number>()
    for (const { turn } of this.sent) counts.set(turn, (counts.get(turn) ?? 0) + 1)
    return [...counts.values()]
  }
}

function members (count: number, name = 'u', devices = 1): UserEntry[] {
  const hub = new Hub()
  return Array.from({ length: count }, (_, i) => {
    for (let device = 0; device < devices; device++) connect(hub, `${name}${i}`, `d${device}`)
    return hub.user(`${name}${i}`) as UserEntry
  })
}

const FRAME = Buffer.from('frame')

t.test('[GW-GRP-5] a huge fan-out gives the loop back every few hundred sends', async (t) => {
  for (const [frames, devices, most] of [[1, 1, 300], [1, 5, 320], [64, 1, 2_200], [64, 3, 2_400]] as const) {
    const recorder = new Recorder()
    const all = members(3_000, 'u', devices)
    const { sent, sockets, refused } = await new FanOut(recorder).deliver(all, Array.from({ length: frames }, () => FRAME), 'message')
    recorder.stop()
    t.equal(sent, 3_000 * frames * devices)
    t.equal(sockets, 3_000 * devices)
    t.equal(refused, null)
    t.equal(recorder.sent.length, sent)
    t.ok(Math.max(...recorder.perTurn()) <= most, `${frames} frames to ${devices} devices: ${Math.max(...recorder.perTurn())} in a turn`)
  }
})

t.test('[GW-GRP-5] many small fan-outs in one turn of the loop share what one turn may take', async (t) => {
  const recorder = new Recorder()
  const fanOut = new FanOut(recorder)
  const all = members(50)
  await Promise.all(Array.from({ length: 40 }, () => fanOut.deliver(all, [FRAME], 'message')))
  recorder.stop()
  t.equal(recorder.sent.length, 2_000)
  t.ok(Math.max(...recorder.perTurn()) <= 300)
})

t.test('[GW-GRP-5] a huge group does not hold up a small one that comes later', async (t) => {
  const recorder = new Recorder()
  const fanOut = new FanOut(recorder)
  const huge = fanOut.deliver(members(20_000, 'huge'), [FRAME], 'message')
  const beganAt = recorder.turn
  await fanOut.deliver(members(3, 'small'), [FRAME], 'message')
  const small = recorder.sent.filter(({ userId }) => userId.startsWith('small'))
  t.equal(small.length, 3)
  t.ok((small.at(-1)?.turn ?? Infinity) - beganAt <= 3, 'two turns of the loop later')
  t.ok(recorder.sent.length < 1_000, 'the huge one is far from done')
  await huge
  recorder.stop()
  t.equal(recorder.sent.length, 20_003)
})

t.test('[GW-GRP-5] among many huge groups a small one has its turn after each had a small share', async (t) => {
  const recorder = new Recorder()
  const fanOut = new FanOut(recorder)
  const all = members(2_000, 'huge')
  const huge = Array.from({ length: 20 }, () => fanOut.deliver(all, [FRAME], 'message'))
  const beganAt = recorder.turn
  await fanOut.deliver(members(3, 'small'), [FRAME], 'message')
  const small = recorder.sent.filter(({ userId }) => userId.startsWith('small'))
  t.ok((small.at(-1)?.turn ?? Infinity) - beganAt <= 8, '20 shares of 64 are five turns of 256')
  await Promise.all(huge)
  recorder.stop()
  t.equal(recorder.sent.length, 40_003)
})

t.test('[GW-GRP-5] jobs are served in turn, and none is left behind', async (t) => {
  const recorder = new Recorder()
  const fanOut = new FanOut(recorder)
  const done: string[] = []
  await Promise.all([['a', 1_000], ['b', 500], ['c', 10]].map(async ([name, count]) => {
    await fanOut.deliver(members(count as number, name as string), [FRAME], 'message')
    done.push(name as string)
  }))
  recorder.stop()
  t.strictSame(done, ['c', 'b', 'a'])
  t.equal(recorder.sent.length, 1_510)
})

t.test('a member gets all frames one after the other, and all members the same buffer', async (t) => {
  const recorder = new Recorder()
  const frames = [Buffer.from('1'), Buffer.from('2'), Buffer.from('3')]
  await new FanOut(recorder).deliver(members(500), frames, 'message')
  recorder.stop()
  for (let at = 0; at < recorder.sent.length; at++) {
    const { userId, frame } = recorder.sent[at] as Sent
    if (frame !== frames[at % 3] || userId !== `u${Math.floor(at / 3)}`) t.fail(`send ${at}`)
  }
  t.equal(recorder.sent.length, 1_500)
})

t.test('members who go or come while a fan-out is under way change nothing for the others', async (t) => {
  const recorder = new Recorder()
  const list = members(1_000)
  const names = list.map(({ userId }) => userId)
  const delivered = new FanOut(recorder).deliver(list, [FRAME], 'message')
  list.splice(0, 900, ...members(10, 'new'))
  await delivered
  recorder.stop()
  t.strictSame(recorder.sent.map(({ userId }) => userId), names)
})

t.test('only what an outbox took is counted, and a fan-out to nobody ends at once', async (t) => {
  const fanOut = new FanOut({ outbox: { send: ({ deviceId }) => deviceId === 'd0' ? 'closed' : 'queued' } })
  t.match(await fanOut.deliver(members(10, 'u', 3), [FRAME, FRAME], 'message'), { sent: 40, sockets: 30, refused: [10, 10] })
  t.match(await fanOut.deliver([], [FRAME], 'message'), { sent: 0, sockets: 0, refused: null })
})

t.test('[GW-OUT-1] whoever a frame closes as slow leaves the list while it is walked, and the others get theirs all the same', async (t) => {
  const last = 4
  for (const slow of [[0], [last], [1, 2], [0, 1, 2, 3, last]]) {
    const hub = new Hub()
    hub.listen({ onUserOnline: () => {}, onUserOffline: (user) => { GroupEntry.removeFromAll(user) } })
    const group = new GroupEntry('group_a')
    for (let i = 0; i <= last; i++) {
      connect(hub, `u${i}`)
      group.addLocal(hub.user(`u${i}`) as UserEntry)
    }
    const sent: string[] = []
    const outbox: FanOutOptions['outbox'] = {
      send: (connection) => {
        const { user } = connection
        sent.push(user.userId)
        if (!slow.includes(Number(user.userId.slice(1)))) return 'queued'
        hub.remove(connection)
        return 'slow'
      }
    }
    t.match(await new FanOut({ outbox }).deliver(group.local, [FRAME], 'message'), { sent: last + 1 - slow.length })
    t.strictSame(sent, ['u0', 'u1', 'u2', 'u3', 'u4'], `slow: ${slow.join(', ')}`)
    t.equal(group.local.length, last + 1 - slow.length)
  }
})

t.test('[GW-OUT-1] a device that a frame closes as slow takes nothing from the other devices of its user', async (t) => {
  const hub = new Hub()
  for (const device of ['slow', 'phone', 'laptop']) connect(hub, 'ann', device)
  const sent: string[] = []
  const outbox: FanOutOptions['outbox'] = {
    send: (connection) => {
      sent.push(connection.deviceId)
      if (connection.deviceId !== 'slow') return 'queued'
      hub.remove(connection)
      return 'slow'
    }
  }
  t.match(await new FanOut({ outbox }).deliver([hub.user('ann') as UserEntry], [FRAME], 'message'), { sent: 2 })
  t.strictSame(sent, ['slow', 'phone', 'laptop'])
})
