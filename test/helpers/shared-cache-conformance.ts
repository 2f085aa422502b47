/** What every ports.SharedCache has to do, whatever keeps the groups. */
import type { Test } from 'tap'
import type { SharedCache } from '../../src/ports.ts'

export interface SharedCacheWorld {
  readonly cache: SharedCache
  /** Lets a stored group expire. */
  expire (groupId: string): Promise<void>
}

/** `run` sets the ids apart from those of other runs. */
export async function sharedCacheConformance (t: Test, { cache, expire }: SharedCacheWorld, run: string): Promise<void> {
  const members = async (groupId: string): Promise<string[] | undefined> => (await cache.members(groupId))?.sort()

  await t.test('a group that was not stored is not cached', async (t) => {
    t.equal(await cache.members(`${run}-none`), undefined)
  })

  await t.test('a stored group comes back, whatever its ids are made of, and a later list replaces it', async (t) => {
    for (const groupId of [`${run}-a`, `${run}-{b}`, `${run}-}c{`, `${run}-{}`, `${run} d é 群:\\"`]) {
      await cache.store(groupId, ['ann', 'b {o} b', '群'])
      t.strictSame(await members(groupId), ['ann', 'b {o} b', '群'].sort(), groupId)
      await cache.store(groupId, ['carl'])
      t.strictSame(await members(groupId), ['carl'], groupId)
    }
  })

  await t.test('a long list comes back whole', async (t) => {
    const ids = Array.from({ length: 3_500 }, (_, i) => `user-${i}`)
    await cache.store(`${run}-long`, ids)
    t.strictSame(await members(`${run}-long`), ids.sort())
  })

  await t.test('a group without members is as good as none', async (t) => {
    await cache.store(`${run}-empty`, ['ann'])
    await cache.store(`${run}-empty`, [])
    t.equal(await cache.members(`${run}-empty`), undefined)
  })

  await t.test('[GW-GRP-3] a join or leave changes a group that is cached, twice as well as once', async (t) => {
    await cache.store(`${run}-events`, ['ann', 'bob'])
    for (let times = 0; times < 2; times++) {
      await cache.apply(`${run}-events`, 'carl', 'join')
      await cache.apply(`${run}-events`, 'ann', 'leave')
      t.strictSame(await members(`${run}-events`), ['bob', 'carl'])
    }
  })

  await t.test('[GW-GRP-3] a join does not make up a group that is not cached', async (t) => {
    await cache.apply(`${run}-unknown`, 'ann', 'join')
    t.equal(await cache.members(`${run}-unknown`), undefined)
  })

  await t.test('an expired group is not cached', async (t) => {
    await cache.store(`${run}-old`, ['ann'])
    await expire(`${run}-old`)
    t.equal(await cache.members(`${run}-old`), undefined)
  })
}
