/** The demo's HTTP side, as a person uses it and as the page's buttons do. */
import { messageOf } from '../../client/src/frames.ts'
import type { Message } from '../../client/src/index.ts'
import { conversationOf } from '../stores/message-store.ts'

/** The services answered with an error; the message says which. */
export class ServiceError extends Error {
  override name = 'ServiceError'
  readonly status: number

  constructor (status: number, text: string) {
    super(text)
    this.status = status
  }
}

export const GROUP_PREFIX = 'group_'
const TIMEOUT_MS = 10_000

export async function makeNodeFault (node: string, fault: 'kill' | 'drain'): Promise<void> {
  await call('PUT', `/nodes/${encodeURIComponent(node)}`, { fault })
}

export async function makeUserFault (user: string, fault: 'cut' | 'slow' | 'none'): Promise<void> {
  await call('PUT', `/people/${encodeURIComponent(user)}`, { fault })
}

/** What one person asks for, with that person's token. */
export class Services {
  readonly #userId: string
  readonly #deviceId: string
  #token = ''

  constructor (userId: string, deviceId: string) {
    this.#userId = userId
    this.#deviceId = deviceId
  }

  /** A fresh one; used for all that is asked from now on. */
  async token (): Promise<string> {
    const { access_token: token } = await call('POST', '/token', { user_id: this.#userId, device_id: this.#deviceId }) as { access_token: string }
    this.#token = token
    return token
  }

  /** A page of the conversation with a user or of a group, after a number. */
  async history (peer: string, after: number): Promise<Message[]> {
    const conversation = conversationOf(this.#userId, peer, peer.startsWith(GROUP_PREFIX))
    const query = new URLSearchParams({ conversation, after: String(after) })
    const { messages } = await call('GET', `/history?${query.toString()}`, undefined, this.#token) as { messages: ReadonlyArray<Record<string, unknown>> }
    return messages.map(messageOf)
  }

  async markRead (sender: string, msgId: string): Promise<void> {
    await call('POST', '/read', { sender_id: sender, msg_id: msgId }, this.#token)
  }

  /** Rejects with a ServiceError of 409 where there is such a group. */
  async createGroup (group: string, members: readonly string[]): Promise<void> {
    await call('POST', '/groups', { group_id: group, members }, this.#token)
  }

  async join (group: string): Promise<void> {
    await call('POST', `/groups/${encodeURIComponent(group)}/join`, {}, this.#token)
  }

  async leave (group: string): Promise<void> {
    await call('POST', `/groups/${encodeURIComponent(group)}/leave`, {}, this.#token)
  }
}

async function call (method: string, path: string, body?: object, token?: string): Promise<unknown> {
  const response = await fetch(path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(TIMEOUT_MS)
  })
  const text = await response.text()
  const answer: unknown = text === '' ? undefined : JSON.parse(text)
  if (response.ok) return answer
  const { error, message } = (answer ?? {}) as { error?: string, message?: string }
  throw new ServiceError(response.status, message ?? error ?? `${method} ${path}: ${response.status}`)
}
