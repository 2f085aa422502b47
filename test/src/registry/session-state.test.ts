import t from 'tap'
import { JOINING, step, type SessionState } from '../../../src/registry/session-state.ts'

t.test('[GW-CON-6] a put that was given up and done after the removal is removed as well, whichever is heard of first', async (t) => {
  const leaving: SessionState = { ...JOINING, phase: 'leaving' }
  const { state } = step(leaving, { type: 'seen-own', revision: 9 })
  t.match(step(state, { type: 'remove-done', revision: 8 }), { state: { phase: 'leaving' }, work: true })
  t.match(step(state, { type: 'remove-done', revision: 9 }), { state: { phase: 'ended' }, work: false })
  t.match(step(leaving, { type: 'remove-done', revision: 8 }), { state: { phase: 'ended' }, work: false })
})
