/** The registry's few operations as etcd's requests, and etcd's answers as the registry's. */
import {
  EtcdLeaseInvalidError, EtcdPermissionDeniedError, GRPCFailedPreconditionError, GRPCInvalidArgumentError, GRPCNotFoundError, GRPCOutOfRangeError,
  type ICompare, type IEvent, type IKeyValue, type IRangeRequest, type IRequestOp, type IResponseOp
} from 'etcd3'
import { GatewayError } from '../../src/errors.ts'
import { KvCompactedError, KvRejectedError } from '../../src/ports.ts'
import type { KvCondition, KvEntry, KvEvent, KvOperation, KvOperationResult, RangeOptions } from '../../src/ports.ts'

export function rangeRequest (key: string, options: RangeOptions): IRangeRequest {
  const { prefix = false, limit = 0, atRevision = 0, startAfter } = options
  return {
    key: startAfter === undefined ? Buffer.from(key) : Buffer.from(`${startAfter}\0`),
    ...(prefix && { range_end: endOf(key) }),
    limit,
    revision: atRevision
  }
}

/** An operation with conditions is a transaction of its own inside the batch; a read is just that. */
export function requestOp (operation: KvOperation): IRequestOp {
  const { when, then, otherwise } = operation
  const read = otherwise === undefined ? [] : [{ request_range: rangeRequest(otherwise.read, { prefix: otherwise.prefix === true }) }]
  if (then === undefined) return read[0] ?? { request_txn: {} }
  const write: IRequestOp = 'put' in then
    ? { request_put: { key: Buffer.from(then.put), value: Buffer.from(then.value), lease: then.leaseId } }
    : { request_delete_range: { key: Buffer.from(then.remove) } }
  // All comparisons of a transaction have to hold: the other way is a transaction of its own in the failure of the first.
  const others = when.map((condition): KvCondition => condition.kind === 'absent-or-value' ? { kind: 'absent', key: condition.key } : condition)
  const hasOtherWay = when.some(({ kind }) => kind === 'absent-or-value')
  const failure = hasOtherWay ? [{ request_txn: { compare: others.map(compareOf), success: [write], failure: read } }] : read
  return { request_txn: { compare: when.map(compareOf), success: [write], failure } }
}

export function resultOf (operation: KvOperation, response: IResponseOp | undefined): KvOperationResult {
  if (operation.then === undefined) return { succeeded: false, entries: entriesOf(response?.response_range?.kvs) }
  const first = response?.response_txn
  const answer = first?.responses[0]?.response_txn ?? first
  const succeeded = answer?.succeeded === true
  return { succeeded, entries: succeeded ? [] : entriesOf(answer?.responses[0]?.response_range?.kvs) }
}

export function entriesOf (kvs: readonly IKeyValue[] = []): KvEntry[] {
  return kvs.map(({ key, value, mod_revision: revision, lease }) => ({ key: key.toString(), value: value.toString(), modRevision: Number(revision), leaseId: lease }))
}

export function eventOf ({ type, kv }: IEvent): KvEvent {
  const key = kv.key.toString()
  const revision = Number(kv.mod_revision)
  return type === 'Delete' ? { type: 'delete', key, revision } : { type: 'put', key, value: kv.value.toString(), revision }
}

/** The first key after all that begin with the prefix. */
export function endOf (prefix: string): Buffer {
  const end = Buffer.from(prefix)
  const last = end.length - 1
  // UTF-8 has no byte 0xff.
  end[last] = (end[last] ?? 0) + 1
  return end
}

/** Whether etcd answered; if so nothing of the request was applied. */
export function refusalOf (error: unknown): KvRejectedError | KvCompactedError | undefined {
  if (error instanceof EtcdLeaseInvalidError || error instanceof GRPCNotFoundError) return new KvRejectedError('lease', error.message)
  if (error instanceof GRPCOutOfRangeError && error.message.includes('compacted')) return new KvCompactedError()
  const isRefused = error instanceof GRPCInvalidArgumentError || error instanceof GRPCOutOfRangeError || error instanceof GRPCFailedPreconditionError || error instanceof EtcdPermissionDeniedError
  return isRefused ? new KvRejectedError('request', error.message) : undefined
}

/** For all else: it may have been applied, or may be yet. */
export function unavailable (cause: unknown): GatewayError {
  return new GatewayError('SERVICE_UNAVAILABLE', { cause, detail: cause instanceof Error ? cause.message : 'etcd does not answer' })
}

function compareOf (condition: KvCondition): ICompare {
  switch (condition.kind) {
    case 'absent': return { target: 'Version', result: 'Equal', key: Buffer.from(condition.key), version: 0 }
    case 'value':
    case 'absent-or-value': return { target: 'Value', result: 'Equal', key: Buffer.from(condition.key), value: Buffer.from(condition.equals) }
    case 'prefix-unchanged': return { target: 'Mod', result: 'Less', key: Buffer.from(condition.prefix), range_end: endOf(condition.prefix), mod_revision: condition.revision + 1 }
  }
}
