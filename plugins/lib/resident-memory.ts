/**
 * Resident memory in bytes. Where it cannot be read now it is as it was: it comes from a file of /proc, and a process that
 * is out of files must not end for it. Throws where it cannot be read the first time.
 */
export function residentMemory (read: () => number = process.memoryUsage.rss): () => number {
  let bytes = read()
  return () => {
    try {
      bytes = read()
    } catch {
      // As it was: there is nothing else to be known.
    }
    return bytes
  }
}
