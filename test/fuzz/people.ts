/** Who is connected while a node is fuzzed. The fuzz names everybody but the neighbour, whose connection has to be left alone. */
export const NEIGHBOUR = 'neighbour'
/** Acknowledges what it gets, and comes back when it is disconnected. */
export const FODDER = 'fodder'
/** The same, but acknowledges nothing. */
export const MUTE = 'mute'
/** A group of the three. */
export const GROUP = 'group_fuzz'
/** Begins the ids of messages by which the end of a run looks whether everything still comes through. */
export const PROBE = 'probe-'

export const fuzzedUser = (n: number): string => `f${n}`
