import t from 'tap'
import { MAX_RECORD_BYTES } from '../../../src/groups/records.ts'
import type { FakeSocket } from '../../helpers/fake-socket.ts'
import { changesOf, GroupWorld, idsOf, settled } from '../../helpers/group-world.ts'

t.test('[GW-GRP-1] every device of every member that is here gets a message, the sender and the sending device too', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann', 'bob', 'far')
  const sockets = [world.connect('ann', 'phone'), world.connect('ann', 'laptop'), world.connect('bob')]
  const stranger = world.connect('eve')
  await world.take(world.message('group_a', 'm1', { sequence_number: 7, metadata: { a: 'b' } }))
  for (const socket of sockets) {
    t.strictSame(socket.frames, [{
      type: 'message', msg_id: 'm1', sender: 'ann', recipient: 'group_a', content: 'hi', message_type: 'text', metadata: { a: 'b' }, timestamp: 2, sequence_number: 7
    }])
  }
  t.strictSame(stranger.frames, [])
  t.equal(world.meter.counted('group_records_total group_msg ok'), 1)
  t.equal(world.meter.counted('group_deliveries_total'), 3)
  t.strictSame(world.meter.observations.get('fanout_members'), [2])
  t.equal(world.meter.observations.get('fanout_seconds')?.length, 1)
})

t.test('[GW-GRP-1] messages arrive in the order of the partition, those that had to wait for the member list before those that came later', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  world.users.isHolding = true
  const ann = world.connect('ann')
  await world.take(world.message('group_a', 'm1'), world.message('group_a', 'm2'))
  world.users.isHolding = false
  world.users.letGo()
  await world.take(world.message('group_a', 'm3'))
  for (let i = 4; i < 200; i++) void world.consumer.handle(world.message('group_a', `m${i}`))
  await settled()
  t.strictSame(idsOf(ann), Array.from({ length: 199 }, (_, i) => `m${i + 1}`))
})

t.test('[GW-GRP-1] a group\'s next message starts only after the one before was handed out wholly', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 10_000 })
  const ids = Array.from({ length: 2_000 }, (_, i) => `u${i}`)
  world.users.group('group_a', ...ids)
  const sent: string[] = []
  const outbox = { send: (connection: { user: { userId: string } }, frame: Buffer) => { sent.push(`${connection.user.userId} ${/m\d+/.exec(frame.toString())?.[0] ?? ''}`); return 'queued' as const } }
  for (const id of ids) world.connect(id)
  world.outbox.send = outbox.send as typeof world.outbox.send
  await world.take(world.message('group_a', 'm1'))
  await world.take(world.message('group_a', 'm2'))
  for (let i = 0; i < 10; i++) await settled()
  t.equal(sent.length, 4_000)
  t.equal(sent.findLastIndex((line) => line.endsWith('m1')), 1_999)
})

t.test('[GW-GRP-5] messages of a group that come together are handed out together, one frame shared by all', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann', 'bob')
  const frames: Buffer[] = []
  const send = world.outbox.send.bind(world.outbox)
  world.outbox.send = (connection, frame, type) => { frames.push(frame); return send(connection, frame, type) }
  const ann = world.connect('ann')
  world.connect('bob')
  await world.take(...Array.from({ length: 16 }, (_, i) => world.message('group_a', `m${i}`)))
  t.equal(new Set(frames).size, 16)
  t.equal(frames.length, 32)
  t.ok(ann.writes.length <= 2, 'sixteen frames leave in few writes')
})

t.test('[GW-GRP-6] a message of a group without local members is passed over unparsed', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'far')
  world.connect('ann')
  await world.take(world.message('group_a', 'm1'))
  t.equal(world.meter.counted('group_records_total group_msg no_members'), 1)
  await world.take(world.record('group_msg', 'group_a', 'not even JSON'))
  t.equal(world.meter.counted('group_records_total group_msg no_members'), 2)
  t.equal(world.meter.counted('group_records_total group_msg bad_json'), 0)
  t.equal(world.users.calls.length, 1, 'the group is known')
  t.equal(world.meter.gauge('waiting_group_records'), 0)
})

t.test('[GW-GRP-6] a group whose last local member has gone costs next to nothing from the next record on', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  world.connect('ann')
  await world.take(world.message('group_a', 'm1'))
  world.leave('ann')
  t.equal(world.consumer.handle(world.record('group_msg', 'group_a', '{')), undefined)
  t.equal(world.meter.counted('group_records_total group_msg no_members'), 1, 'at once')
})

t.test('records that cannot be read are counted by reason, logged once a second, and stop nothing', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  const ann = world.connect('ann')
  await world.take(world.message('group_a', 'm0'))
  const bad: Array<[string, ReturnType<GroupWorld['record']>]> = [
    ['empty', world.record('group_msg', 'group_a', null)],
    ['empty', world.record('group_msg', 'group_a', '')],
    ['bad_json', world.record('group_msg', 'group_a', '{')],
    ['bad_json', world.record('group_msg', 'group_a', '{"__proto__":{}}')],
    ['bad_shape', world.message('group_a', 'm', { content: 7 })],
    ['bad_shape', world.message('group_a', 'm', { message_type: 'hologram' })],
    ['bad_shape', world.message('group_a', 'm', { sequence_number: 2 ** 53 })],
    ['too_large', world.record('group_msg', 'group_a', 'x'.repeat(MAX_RECORD_BYTES + 1))],
    ['too_large', world.message('group_a', 'm', { content: 'x'.repeat(70_000) })],
    ['key_mismatch', world.message('group_a', 'm', { group_id: 'group_b' })]
  ]
  const expected = new Map<string, number>()
  for (const [reason, record] of bad) {
    expected.set(reason, (expected.get(reason) ?? 0) + 1)
    await world.take(record)
    t.equal(world.meter.counted(`group_records_total group_msg ${reason}`), expected.get(reason), reason)
  }
  await world.take(world.message('group_a', 'm1'))
  t.strictSame(idsOf(ann), ['m0', 'm1'])
  const warnings = () => world.logger.lines.filter(({ level }) => level === 'warn')
  t.equal(warnings().length, 1)
  t.strictSame(warnings()[0]?.facts, { topic: 'group_msg', partition: 0, offset: '1', reason: 'empty', unlogged: 0 })
  world.clock.advance(1_000)
  await world.take(world.record('membership_change', 'group_a', '{}'), world.record('read_receipt_events', 'ann', '[]'))
  t.equal(warnings().length, 2)
  t.match(warnings()[1]?.facts, { topic: 'membership_change', unlogged: bad.length - 1 })
  t.equal(world.meter.counted('group_records_total read_receipt_events bad_shape'), 1)
})

t.test('nobody makes the node ask for a group that cannot be', async (t) => {
  const world = new GroupWorld()
  world.connect('ann')
  await world.take(
    world.record('group_msg', 'group_x', '{'),
    world.message('group_a', 'm', { group_id: 'group_b' }),
    world.record('group_msg', 'group_\u0001', '{"msg_id":"m"}')
  )
  t.strictSame(world.users.calls, [])
  t.equal(world.meter.counted('group_records_total group_msg key_mismatch'), 1)
})

t.test('a record without a key is read for its group', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  const ann = world.connect('ann')
  await world.take({ ...world.message('group_a', 'm1'), key: null }, { ...world.message('group_a', 'm2'), key: Buffer.alloc(0) })
  t.strictSame(idsOf(ann), ['m1', 'm2'])
  await world.take(world.record('group_msg', null, '{'))
  t.equal(world.meter.counted('group_records_total group_msg bad_json'), 1)
})

t.test('[GW-GRP-4] a group that does not exist is passed over and counted', async (t) => {
  const world = new GroupWorld()
  world.connect('ann')
  await world.take(world.message('group_x', 'm1'))
  await world.take(world.message('group_x', 'm2'), world.change('group_y', 'ann', 'leave'))
  await world.take(world.change('group_x', 'bob', 'leave'))
  t.equal(world.meter.counted('group_records_total group_msg group_not_found'), 2)
})

t.test('[GW-GRP-4] records of a group that nobody can name the members of wait in its own line while others pass', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  world.users.group('group_b', 'ann')
  const ann = world.connect('ann')
  await world.take(world.message('group_b', 'b1'))
  world.users.failure = 'SERVICE_UNAVAILABLE'
  await world.take(world.message('group_a', 'a1'), world.message('group_b', 'b2'), world.message('group_a', 'a2'))
  t.strictSame(idsOf(ann), ['b1', 'b2'])
  t.equal(world.meter.gauge('waiting_group_records'), 2)
  await world.clock.run(3_000)
  t.ok(world.users.counted('members group_a') >= 3, 'it is asked for again and again')
  t.ok(world.users.counted('members group_a') <= 6, 'with growing pauses')
  world.users.failure = undefined
  await world.clock.run(5_000)
  await settled()
  t.strictSame(idsOf(ann), ['b1', 'b2', 'a1', 'a2'])
  t.equal(world.meter.gauge('waiting_group_records'), 0)
})

t.test('[GW-GRP-4] only a full budget makes a partition wait: so many records of a group, so many bytes of all', async (t) => {
  for (const limits of [{ maxWaitingRecords: 3 }, { maxWaitingBytes: 3 * (256 + 140) }]) {
    const world = new GroupWorld(limits)
    world.users.group('group_a', 'ann')
    world.users.failure = 'SERVICE_UNAVAILABLE'
    const ann = world.connect('ann')
    for (let i = 1; i <= 3; i++) t.equal(world.consumer.handle(world.message('group_a', `m${i}`)), undefined)
    let isTaken = false
    const held = world.consumer.handle(world.message('group_a', 'm4'))
    t.ok(held instanceof Promise)
    void held?.then(() => { isTaken = true })
    await settled()
    t.notOk(isTaken)
    t.equal(world.meter.gauge('waiting_group_records'), 4)
    world.users.failure = undefined
    await world.clock.run(5_000)
    await settled()
    t.ok(isTaken)
    t.strictSame(idsOf(ann), ['m1', 'm2', 'm3', 'm4'])
    t.equal(world.meter.gauge('waiting_group_records'), 0)
  }
})

t.test('[GW-GRP-4] a record larger than all the room there is gets through alone', async (t) => {
  const world = new GroupWorld({ maxWaitingBytes: 100 })
  world.users.group('group_a', 'ann')
  world.users.group('group_b', 'ann')
  const ann = world.connect('ann')
  const waits = [world.message('group_a', 'a1'), world.message('group_b', 'b1'), world.message('group_a', 'a2')].map((record) => world.consumer.handle(record))
  t.equal(waits.filter((wait) => wait === undefined).length, 1)
  await Promise.all(waits)
  await settled()
  t.strictSame(idsOf(ann).sort(), ['a1', 'a2', 'b1'])
})

t.test('[GW-GRP-1] a record that waited for room keeps its place: what comes after it starts when it has been handed out', async (t) => {
  const world = new GroupWorld({ maxWaitingBytes: 2 * (256 + 140) })
  world.users.group('group_a', 'ann')
  world.users.group('group_b', 'ann')
  world.connect('ann')
  await world.take(world.message('group_a', 'a0'))
  const steps: string[] = []
  const ends: Array<() => void> = []
  world.fanOut.deliver = async (members, frames) => {
    const id = /[ab]\d/.exec(frames[0]?.toString() ?? '')?.[0] ?? ''
    steps.push(`${id} starts`)
    await new Promise<void>((resolve) => { ends.push(resolve) })
    steps.push(`${id} ends`)
    return { sent: 1, sockets: 1, refused: null }
  }
  world.users.isHolding = true
  await world.take(world.message('group_b', 'b1'), world.message('group_a', 'a1'))
  const outside = [world.message('group_b', 'b2'), world.message('group_a', 'a2')].map((record) => world.consumer.handle(record))
  ends.shift()?.()
  await outside[0] // a1 made room for b2; of group_a nothing is in line now, and a2 still outside
  await settled()
  world.users.letGo()
  await settled()
  ends.shift()?.()
  await outside[1]
  await settled()
  const last = world.consumer.handle(world.message('group_a', 'a3'))
  t.equal(last, undefined)
  await settled()
  t.strictSame(steps, ['a1 starts', 'a1 ends', 'b1 starts', 'b1 ends', 'a2 starts'])
  for (let i = 0; i < 3; i++) {
    ends.shift()?.()
    await settled()
  }
  t.strictSame(steps.slice(5), ['a2 ends', 'a3 starts', 'a3 ends'])
})

t.test('a consumer that is stopped lets its partitions go and delivers nothing more', async (t) => {
  const world = new GroupWorld({ maxWaitingRecords: 1 })
  world.users.group('group_a', 'ann')
  world.users.failure = 'SERVICE_UNAVAILABLE'
  const ann = world.connect('ann')
  await world.take(world.message('group_a', 'm1'))
  const held = world.consumer.handle(world.message('group_a', 'm2'))
  world.consumer.stop()
  await held
  t.equal(world.clock.pendingTimers, 0, 'no timer is left')
  world.users.failure = undefined
  await world.clock.run(10_000)
  await world.take(world.message('group_a', 'm3'))
  t.strictSame(idsOf(ann), [])
})

t.test('a batch that cannot be handed out is counted, and the group goes on', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann')
  const ann = world.connect('ann')
  const { deliver } = world.fanOut
  world.fanOut.deliver = () => { throw new Error('broken') }
  await world.take(world.message('group_a', 'm1'))
  world.fanOut.deliver = deliver
  await world.take(world.message('group_a', 'm2'))
  t.strictSame(idsOf(ann), ['m2'])
  t.equal(world.meter.counted('group_records_total group_msg failed'), 1)
  t.equal(world.meter.gauge('waiting_group_records'), 0)
})

t.test('[GW-EVT-1] a membership change goes to the user concerned and to the local members of a small group', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'ann', 'bob')
  const [ann, bob, carl, eve] = ['ann', 'bob', 'carl', 'eve'].map((user) => world.connect(user)) as [FakeSocket, FakeSocket, FakeSocket, FakeSocket]
  await world.take(world.change('group_a', 'carl', 'join'))
  t.strictSame([ann, bob, carl, eve].map(changesOf), [['carl join'], ['carl join'], ['carl join'], []])
  t.match(ann.frames[0], { type: 'membership_change', group_id: 'group_a', user_id: 'carl', event_type: 'join', timestamp: world.clock.unixMs() })
  await world.take(world.change('group_a', 'bob', 'leave'))
  t.strictSame([ann, bob, carl, eve].map(changesOf), [['carl join', 'bob leave'], ['carl join', 'bob leave'], ['carl join', 'bob leave'], []])
  t.equal(world.meter.counted('group_records_total membership_change ok'), 2)
})

t.test('[GW-EVT-1] in a group above LARGE_GROUP_SIZE a membership change goes to the user concerned alone', async (t) => {
  const world = new GroupWorld({ largeGroupSize: 2 })
  world.users.group('group_a', 'ann', 'bob', 'dan')
  const [ann, carl] = [world.connect('ann'), world.connect('carl')]
  await world.take(world.change('group_a', 'carl', 'join'))
  t.strictSame([changesOf(ann), changesOf(carl)], [[], ['carl join']])
})

t.test('a membership change stays behind the messages that came before it, and is not told where too much waits', async (t) => {
  const world = new GroupWorld({ maxWaitingRecords: 2 })
  world.users.group('group_a', 'ann')
  world.users.isHolding = true
  const ann = world.connect('ann')
  await world.take(world.message('group_a', 'm1'), world.change('group_a', 'bob', 'join'), world.change('group_a', 'carl', 'join'))
  t.equal(world.meter.counted('group_records_total membership_change not_told'), 1)
  world.users.isHolding = false
  world.users.letGo()
  await settled()
  t.strictSame(ann.types, ['message', 'membership_change'])
  world.connect('carl')
  await world.take(world.message('group_a', 'm2'))
  t.equal(world.meter.counted('group_deliveries_total'), 3, 'it took effect all the same')
})

t.test('a membership change costs no look-up while nobody is here, nor in a group without local members', async (t) => {
  const world = new GroupWorld()
  world.users.group('group_a', 'far')
  await world.take(world.change('group_a', 'bob', 'join'))
  t.strictSame(world.users.calls, [])
  world.connect('ann')
  await world.take(world.message('group_a', 'm1'))
  await world.take(world.change('group_a', 'bob', 'leave'))
  t.equal(world.meter.counted('group_records_total membership_change no_members'), 2)
})

t.test('[GW-EVT-1] a read receipt goes to the local devices of the sender, or to the one device it names', async (t) => {
  const world = new GroupWorld()
  const [phone, laptop, bob] = [world.connect('ann', 'phone'), world.connect('ann', 'laptop'), world.connect('bob')]
  const receipt = { msg_id: 'm1', sender_id: 'ann', reader_id: 'bob', conversation_id: 'group_a', read_at: 5 }
  await world.take(world.record('read_receipt_events', 'ann', receipt))
  for (const socket of [phone, laptop]) {
    t.strictSame(socket.frames, [{ type: 'read_receipt', msg_id: 'm1', reader_id: 'bob', conversation_id: 'group_a', read_at: 5, timestamp: world.clock.unixMs() }])
  }
  await world.take(world.record('read_receipt_events', 'ann', { ...receipt, device_id: 'laptop' }), world.record('read_receipt_events', 'far', { ...receipt, sender_id: 'far' }))
  t.strictSame([phone, laptop, bob].map(({ frames }) => frames.length), [1, 2, 0])
  t.equal(world.meter.counted('group_records_total read_receipt_events ok'), 2)
  t.equal(world.meter.counted('group_records_total read_receipt_events no_members'), 1)
})
