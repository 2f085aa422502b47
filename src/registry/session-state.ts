/**
 * The rules of one session's registration, as a pure function: what is known, and what to do when something more is.
 * Revisions order everything: whoever put the key last has it, in whatever order the news arrives [GW-CON-6].
 *
 * What the rules rest on: operations of one key are run one after the other by the batcher; the first put is guarded by
 * the revision of the admission, so that a put which etcd applies late never lands on a newer registration; a put that
 * repairs is bound to a key that is absent or ours; a removal to a key that is ours.
 */
export type Phase =
  /** The first put is on its way. */
  | 'joining'
  | 'registered'
  /** The socket lives and the key is gone, or may be: it has to be put again. */
  | 'lost'
  /** The socket is gone, the key may be there: it has to be removed. */
  | 'leaving'
  /** Nothing of this session is left, nor will be. */
  | 'ended'

export interface SessionState {
  readonly phase: Phase
  /** Of the latest put of this session that is known to have happened; 0: none is. */
  readonly revision: number
  /** The latest revision at which the key was another's. */
  readonly rivalRevision: number
  /** The latest revision at which the key was deleted. */
  readonly goneRevision: number
}

export type SessionInput =
  /** A put has happened. `leased`: the lease that it was made with is still held. */
  | { readonly type: 'put-done', readonly revision: number, readonly leased: boolean }
  /** The first put is over the device limit, or a repair found the key another's. */
  | { readonly type: 'put-refused' }
  /** No answer: it may have happened, it may happen yet. */
  | { readonly type: 'put-unknown' }
  | { readonly type: 'seen-own', readonly revision: number }
  | { readonly type: 'seen-rival', readonly revision: number }
  | { readonly type: 'seen-gone', readonly revision: number }
  | { readonly type: 'lease-lost' }
  /** The socket is gone, or on its way. */
  | { readonly type: 'close' }
  /** The key was not ours at this revision, or is not any more. */
  | { readonly type: 'remove-done', readonly revision: number }
  | { readonly type: 'remove-unknown' }

export interface Step {
  readonly state: SessionState
  /** A put or a removal is due, as the phase says. */
  readonly work: boolean
  /** Another session has the device: the socket has to be closed. */
  readonly replaced: boolean
}

export const JOINING: SessionState = { phase: 'joining', revision: 0, rivalRevision: 0, goneRevision: 0 }

/** What follows from a piece of news. Any input is allowed in any phase. */
export function step (state: SessionState, input: SessionInput): Step {
  switch (input.type) {
    case 'seen-own': return stay({ ...state, revision: Math.max(state.revision, input.revision) })
    case 'seen-rival': return rival({ ...state, rivalRevision: Math.max(state.rivalRevision, input.revision) })
    case 'seen-gone': return gone({ ...state, goneRevision: Math.max(state.goneRevision, input.revision) })
    case 'put-done': return putDone({ ...state, revision: Math.max(state.revision, input.revision) }, input.leased)
    case 'put-refused': return putRefused(state)
    case 'put-unknown': return putUnknown(state)
    case 'lease-lost': return state.phase === 'registered' ? to(state, 'lost', true) : stay(state)
    case 'close': return state.phase === 'ended' || state.phase === 'leaving' ? stay(state) : to(state, 'leaving', true)
    case 'remove-done': return removeDone(state, input.revision)
    case 'remove-unknown': return state.phase === 'leaving' ? to(state, 'leaving', true) : stay(state)
  }
}

function rival (state: SessionState): Step {
  if (state.rivalRevision <= state.revision) return stay(state)
  if (state.phase === 'registered') return { state: { ...state, phase: 'ended' }, work: false, replaced: true }
  // A repair may be on its way and find the key absent once more: what it puts has to go again.
  if (state.phase === 'lost') return { state: { ...state, phase: 'leaving' }, work: true, replaced: true }
  return stay(state)
}

function gone (state: SessionState): Step {
  return state.phase === 'registered' && state.goneRevision > state.revision ? to(state, 'lost', true) : stay(state)
}

function putDone (state: SessionState, leased: boolean): Step {
  if (state.phase !== 'joining' && state.phase !== 'lost') return stay(state)
  if (state.rivalRevision > state.revision) return { state: { ...state, phase: 'ended' }, work: false, replaced: true }
  return leased && state.goneRevision < state.revision ? to(state, 'registered') : to(state, 'lost', true)
}

function putRefused (state: SessionState): Step {
  if (state.phase === 'joining') return to(state, 'ended')
  return state.phase === 'lost' ? { state: { ...state, phase: 'ended' }, work: false, replaced: true } : stay(state)
}

function putUnknown (state: SessionState): Step {
  if (state.phase === 'joining') return to(state, 'leaving', true)
  return state.phase === 'lost' ? to(state, 'lost', true) : stay(state)
}

function removeDone (state: SessionState, revision: number): Step {
  if (state.phase !== 'leaving') return stay(state)
  // A put that was given up was done after the removal, and the watch said so before the removal was answered.
  return state.revision > revision ? to(state, 'leaving', true) : to(state, 'ended')
}

function to (state: SessionState, phase: Phase, work = false): Step {
  return { state: state.phase === phase ? state : { ...state, phase }, work, replaced: false }
}

function stay (state: SessionState): Step {
  return { state, work: false, replaced: false }
}
