import t from 'tap'
import { Hub } from '../../../src/connections/hub.ts'
import { fits, idleMs, type ConnectionFilter } from '../../../src/connections/listing.ts'
import { connect } from '../../helpers/connections.ts'

const TIMES = { unixMs: 10_000, heartbeatMs: 4_000 }

t.test('a connection is listed where all that is asked for holds, each bound included', async (t) => {
  const { connection } = connect(new Hub(), 'ann', 'phone')
  connection.lastSeenMs = 1_000
  connection.queuedBytes = 60
  connection.stalledBytes = 40
  t.equal(connection.waitingBytes, 100)
  t.equal(idleMs(connection, TIMES), 3_000)
  const fitting: ConnectionFilter[] = [{}, { device: 'phone' }, { state: 'open' }, { paused: false }, { min_queued_bytes: 100 }, { min_age_ms: 10_000 }, { max_age_ms: 10_000 }, { min_idle_ms: 3_000 }]
  for (const filter of fitting) t.ok(fits(connection, filter, TIMES), JSON.stringify(filter))
  const others: ConnectionFilter[] = [{ device: 'tab' }, { state: 'opening' }, { paused: true }, { min_queued_bytes: 101 }, { min_age_ms: 10_001 }, { max_age_ms: 9_999 }, { min_idle_ms: 3_001 }]
  for (const filter of others) {
    t.notOk(fits(connection, filter, TIMES), JSON.stringify(filter))
    t.notOk(fits(connection, { ...Object.assign({}, ...fitting) as ConnectionFilter, ...filter }, TIMES), 'one is enough')
  }
})

t.test('a sign of life that is later than the last tick of its clock, or a wall clock that was set back, is not less than nothing', async (t) => {
  const { connection } = connect(new Hub(), 'ann')
  connection.lastSeenMs = 5_000
  t.equal(idleMs(connection, TIMES), 0)
  t.ok(fits(connection, {}, { unixMs: -60_000, heartbeatMs: 0 }))
})
