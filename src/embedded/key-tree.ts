/** Keys in folders, as their slashes say: the keys of one user are found without looking at the others. */
export interface Stored { readonly key: string, readonly value: string, readonly modRevision: number, readonly leaseId: string }

class Folder {
  readonly entries = new Map<string, Stored>()
  readonly folders = new Map<string, Folder>()
}

export class KeyTree {
  readonly #root = new Folder()
  #size = 0

  get size (): number { return this.#size }

  get (key: string): Stored | undefined {
    return this.#folder(key)?.entries.get(key)
  }

  set (entry: Stored): void {
    let folder = this.#root
    for (const name of names(entry.key)) {
      let next = folder.folders.get(name)
      if (next === undefined) folder.folders.set(name, next = new Folder())
      folder = next
    }
    if (!folder.entries.has(entry.key)) this.#size++
    folder.entries.set(entry.key, entry)
  }

  delete (key: string): void {
    const path = [this.#root]
    for (const name of names(key)) {
      const next = path.at(-1)?.folders.get(name)
      if (next === undefined) return
      path.push(next)
    }
    if (path.at(-1)?.entries.delete(key) !== true) return
    this.#size--
    const steps = names(key)
    for (let depth = steps.length; depth > 0; depth--) {
      const folder = path[depth] as Folder
      if (folder.entries.size + folder.folders.size > 0) return
      path[depth - 1]?.folders.delete(steps[depth - 1] as string)
    }
  }

  /** The entries below a prefix, in the order of their keys. */
  below (prefix: string): Stored[] {
    const folder = this.#folder(prefix)
    if (folder === undefined) return []
    const found: Stored[] = []
    for (const entry of folder.entries.values()) if (entry.key.startsWith(prefix)) found.push(entry)
    const rest = prefix.slice(prefix.lastIndexOf('/') + 1)
    for (const [name, child] of folder.folders) if (name.startsWith(rest)) collect(child, found)
    return found.sort(byKey)
  }

  #folder (path: string): Folder | undefined {
    let folder: Folder | undefined = this.#root
    for (const name of names(path)) {
      folder = folder.folders.get(name)
      if (folder === undefined) return undefined
    }
    return folder
  }
}

export function byKey (a: { readonly key: string }, b: { readonly key: string }): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0
}

/** The folders on the way to a key: all that stands before its last slash. */
function names (path: string): string[] {
  return path.split('/').slice(0, -1)
}

function collect (folder: Folder, into: Stored[]): void {
  for (const entry of folder.entries.values()) into.push(entry)
  for (const child of folder.folders.values()) collect(child, into)
}
