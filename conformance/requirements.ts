/** What a client keeps to, one row each. MUST: without it messages are lost, repeated or the gateway is harmed. SHOULD: without it users wait. */
import { CLOSE, type CloseRow } from '../src/protocol/close-codes.ts'

export interface Requirement { readonly level: 'MUST' | 'SHOULD', readonly text: string }

const must = (text: string): Requirement => ({ level: 'MUST', text })
const should = (text: string): Requirement => ({ level: 'SHOULD', text })

const WAYS: Readonly<Record<CloseRow['reconnect'], string>> = {
  no: 'does not come back by itself',
  yes: 'comes back',
  backoff: 'comes back',
  'after-fix': 'comes back',
  'after-delay': 'comes back when it was told to and no earlier',
  'after-token': 'comes back with a token that it got since'
}

/** The codes of the table, each once: two reasons may share one. */
export const CLOSES: readonly CloseRow[] = [...new Map(Object.values(CLOSE).map((row: CloseRow) => [row.code, row])).values()]

export const endId = (code: number): string => `C-END-${code}`

export const REQUIREMENTS: Readonly<Record<string, Requirement>> = {
  'C-CON-1': must('offers `im.v1.json`, and its token in the Authorization header or as the subprotocol `bearer.…`'),
  'C-CON-2': should('sends nothing before `welcome`, which tells the limits'),
  'C-CON-3': must('passes over frame types and fields that it does not know'),
  'C-FRM-1': must('sends nothing but well-formed frames, as text'),

  'C-SND-1': must('calls a message sent only when its `ack` has come'),
  'C-SND-2': must('sends again after a reconnect, with the same `msg_id`, what was not acknowledged'),
  'C-SND-3': should('sends again on the same connection, within 15 s and with the same `msg_id`, what is not answered'),
  'C-SND-4': must('sends again with the same `msg_id` after an error that is retryable'),
  'C-SND-5': must('does so once for each such error, no earlier than `retry_after_ms` says'),
  'C-SND-6': must('does not send again what was refused for good, and says so with the error code'),
  'C-SND-7': should('keeps the order of a conversation when one of its messages has to go again'),
  'C-SND-8': must('never sends a second time a frame that was too large'),
  'C-SND-9': should('sends no frame over `max_message_bytes`, and says that it did not'),
  'C-ERR-1': must('goes on after an error that concerns no message'),

  'C-RCV-1': must('acknowledges a message that says `ack_required` within 5 s'),
  'C-RCV-2': must('acknowledges it each time that it comes'),
  'C-RCV-3': must('shows a `msg_id` once, however often it comes, on a later connection too'),
  'C-RCV-4': must('notices a gap in `sequence_number`'),
  'C-RCV-5': must('shows within 15 s what comes after a gap'),
  'C-RCV-6': must('shows each of two messages that overtook each other'),
  'C-RCV-7': should('shows them in order'),
  'C-RCV-8': must('does not show the copy of a message that it sent itself'),
  'C-RCV-9': should('sees no gap where a message overtakes the `ack` of its own'),

  ...Object.fromEntries(CLOSES.map(({ code, reason, reconnect }) => [endId(code), must(`${WAYS[reconnect]} after ${code} \`${reason}\``)])),
  'C-END-1': should('says that it has ended, with the code, where it does not come back'),
  'C-REC-1': should('comes back after a different pause each time and in each process, so that clients lost together do not return together'),
  'C-REC-2': must('backs off while the gateway refuses it: 20 attempts in 8 s at most'),
  'C-REC-3': must('is connected within 40 s of the gateway\'s recovery'),

  'C-TOK-1': should('renews its token by an `auth` frame before it ends'),
  'C-TOK-2': must('sends no more than 3 `auth` frames in 3 s, also where its clock is an hour ahead'),
  'C-TOK-3': must('survives a renewal that is refused: after 4401 it comes back with a token that it got since'),

  'C-HBT-1': must('answers a ping within 5 s'),
  'C-HBT-2': should('leaves a gateway that has fallen silent within ten times `heartbeat_timeout_ms`'),
  'C-CLS-1': should('closes with 1000 when its user leaves, and stays away')
}
