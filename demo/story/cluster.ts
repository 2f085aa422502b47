/** Steps that need more than one node: neither a user nor the IM Service can tell that they are many. */
import { setTimeout as pause } from 'node:timers/promises'
import { Crowd } from './crowd.ts'
import { check, onAll, same, type Stage } from './stage.ts'

const TAKEOVER_MS = 1_000
const CROWD = 9
const TALK_BEFORE_MS = 300
const TALK_AFTER_MS = 1_500
const HEARD_MS = 15_000

export async function takeoverAcrossNodes (stage: Stage): Promise<void> {
  const older = await stage.connect('wendy', 'phone', { url: stage.node(0).url })
  const newer = await stage.connect('wendy', 'phone', { url: stage.node(1).url })
  same(await older.closed(TAKEOVER_MS), { code: 4409, reason: 'replaced' }, 'the close')
  same([...await stage.world.directory.nodesOf(stage.user('wendy'))], [stage.node(1).nodeId], 'where the device is')
  const { msgId } = await stage.seated('carol', 'phone').send(stage.user('wendy'), 'Which node are you on?')
  await onAll([newer], msgId)
  check(older.count(msgId) === 0, 'the older connection got it')
  await newer.close()
}

export async function devicesOnTwoNodes (stage: Stage): Promise<void> {
  const devices = await Promise.all([0, 1].map((node) => stage.connect('xenia', `device-${node}`, { url: stage.node(node).url })))
  const { msgId } = await stage.seated('carol', 'phone').send(stage.user('xenia'), 'To both of you')
  await onAll(devices, msgId)
  for (const device of devices) same(device.count(msgId), 1, 'how often a device got it')
  await Promise.all(devices.map((device) => device.close()))
}

export async function groupOverNodes (stage: Stage): Promise<void> {
  const names = stage.gateways.map((_, i) => `yuri${i}`)
  const members = await Promise.all(names.map((name, i) => stage.connect(name, 'phone', { url: stage.node(i).url })))
  const group = stage.group('everywhere')
  stage.world.users.createGroup(group, names.map((name) => stage.user(name)))
  for (const [i, member] of members.entries()) await onAll(members, (await member.send(group, `From node ${i}`)).msgId)
  for (const member of members) {
    same(member.frames.filter(({ type }) => type === 'message').map((frame) => frame['sequence_number']), names.map((_, i) => i + 1), 'the numbers that a member saw')
  }
  await Promise.all(members.map((member) => member.close()))
}

/** One node is killed while people talk: they come back elsewhere, and nothing that was accepted is missed. */
export async function nodeKilled (stage: Stage): Promise<void> {
  await whileTalking(stage, 'zoe', CROWD, async () => {
    const victim = stage.gateways.pop()
    if (victim !== undefined) await stage.world.kill(victim)
  })
}

/** The same with one that is told to end. `people`: so many that each node has some of them. */
export async function nodeDrained (stage: Stage, people = CROWD): Promise<void> {
  await whileTalking(stage, 'yan', people, async () => {
    const leaving = stage.gateways.pop()
    if (leaving !== undefined) await stage.world.stop(leaving)
  })
}

async function whileTalking (stage: Stage, name: string, people: number, act: () => Promise<void>): Promise<void> {
  const crowd = new Crowd(stage, name, people)
  try {
    await crowd.open()
    await crowd.talk(pause(TALK_BEFORE_MS).then(act).then(() => pause(TALK_AFTER_MS)))
    await crowd.check(HEARD_MS)
    check(crowd.returns > 0, 'nobody had to come back')
  } finally {
    crowd.close()
  }
}
