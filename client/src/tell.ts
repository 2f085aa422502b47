/** Calls the application. What it throws is its own: it comes up where nothing of ours is half done. */
export function tell<A extends unknown[]> (call: ((...args: A) => void) | undefined, ...args: A): void {
  try {
    call?.(...args)
  } catch (error) {
    queueMicrotask(() => { throw error })
  }
}
