/**
 * What the core needs from outside, as interfaces. `plugins/` has the real adapters, `src/embedded/` the
 * in-process ones; nothing else in the code knows which of the two runs.
 */
export type * from './ports/observation.ts'
export type * from './ports/socket.ts'
export type * from './ports/services.ts'
export type * from './ports/group-bus.ts'
export type * from './ports/registry.ts'
export * from './ports/kv-store.ts'
