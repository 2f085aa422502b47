/** The table of faults: what befalls whom, how that is done here, and what is promised then. Each has a row in test/faults/. */
export interface Fault {
  readonly fault: string
  readonly done: string
  readonly promised: string
}

export const FAULTS = {
  E1: { fault: 'etcd is down for less than the TTL', done: '`kill -9`, started again', promised: 'nobody is closed; new connections get 503 with a jittered Retry-After; the registry is the truth within 5 s' },
  E2: { fault: 'etcd is down for longer than the TTL', done: '`kill -9`, started again', promised: 'no key is missing for a moment; the registry is the truth within 30 s' },
  E3: { fault: 'nodes are cut off from etcd for longer than the TTL', done: 'connections through a proxy cut; with --long also of 100,000 registrations of one node', promised: 'told within the TTL + 1 s; delivery goes on; all is registered again within 10 s' },
  E4: { fault: 'etcd is frozen for longer than the TTL', done: 'SIGSTOP, SIGCONT', promised: 'calls end at their deadlines, few wait at a time; the event loop stays below 50 ms; the registry is the truth within 30 s' },
  E5: { fault: 'etcd is compacted while the watch is cut', done: 'connections through a proxy cut, keys deleted, history compacted', promised: 'each node reads everything again; no stale entry after 5 s' },
  E6: { fault: 'the watch breaks again while it is replayed', done: 'a fake etcd ends each watch after some events', promised: 'no event is lost; what a node knows is what etcd has' },
  E7: { fault: 'the watch of a node leads into a black hole', done: 'connections through a proxy frozen', promised: 'found within 15 s; no old route is told as true for longer than 20 s' },
  E8: { fault: 'an operator revokes the leases', done: '`lease revoke` of each', promised: 'all is registered again within 5 s' },
  K1: { fault: 'a broker dies and comes back', done: '`kill -9` of the only broker, leader and coordinator, started again', promised: 'a pause of at most 30 s, no gap' },
  K2: { fault: 'a broker is frozen', done: 'SIGSTOP, SIGCONT', promised: 'a pause of at most 30 s after its end, no gap; repeats are counted' },
  K3: { fault: 'records that nobody can read', done: '1 % of 1,000 a second: no JSON, huge, unknown type, null, wrong schema', promised: 'passed over and counted, each of them; no gap in the others, nobody held up' },
  K4: { fault: 'a node with the id of another; a node that stalls for longer than its session', done: 'a second process with the same id; SIGSTOP and SIGCONT of a gateway', promised: 'the second one is refused and says by whom; the stalled one joins again; no gap' },
  K5: { fault: 'a node starts under traffic', done: 'started in 1,000 records a second, clients connect as soon as it is ready', promised: 'nothing after that is missed' },
  K6: { fault: 'partitions are added', done: '`createPartitions` under traffic', promised: 'read from their first record on, within KAFKA_METADATA_MAX_AGE + 5 s' },
  K7: { fault: 'the consumer crashes for a reason that repeating does not mend', done: 'an ACL takes the right to read, then gives it back', promised: 'started again with growing pauses; degraded and lag metrics tell; ready all the while; it reads within 35 s' },
  R1: { fault: 'Redis is down, then frozen', done: '`kill -9`; SIGSTOP', promised: 'everybody is let in, p99 at most 200 ms slower' },
  A1: { fault: 'the Auth Service is down', done: 'connections through a proxy cut', promised: 'nobody is closed; new connections get 503 within 100 ms, never 401; let in again within 10 s' },
  A2: { fault: 'the Auth Service is slow', done: 'connections through a proxy frozen for 10 s', promised: 'answers within the deadline; calls under way bounded; the breaker opens; all else unaffected' },
  M1: { fault: 'the IM Service is down', done: 'connections through a proxy cut', promised: 'no false ack; the breaker opens within 3 s and answers within 20 ms; sends work again soon after' },
  M2: { fault: 'the IM Service is slow, or dies between acceptance and answer', done: 'answers delayed; connections cut in the handler', promised: 'retryable errors, nothing accepted twice, no ack of what is not accepted' },
  M3: { fault: 'the IM Service is restarted replica by replica', done: 'two replicas that send GOAWAY at the age of 2 s and cut a second later; each restarted', promised: 'at most 0.1 % errors, nothing lost' },
  M4: { fault: 'one of two replicas of the IM Service falls silent', done: 'connections through a proxy frozen', promised: 'failures end within 8 s, nothing lost' },
  C1: { fault: 'half-open clients', done: 'connections through a proxy frozen', promised: 'pushes end in ACK_TIMEOUT; closed and unregistered at the heartbeat timeout + 1 sweep; buffers bounded' },
  C2: { fault: 'slow readers', done: '20 clients of 25 in the same groups stop reading, 10 MB for each', promised: 'closed as slow; memory bounded by the outboxes; others miss nothing, and their p99 grows by a tenth and 50 ms (--long: 5 ms) at most' },
  C3: { fault: 'an acknowledgement is lost, late, repeated, foreign or of nothing', done: 'dropped, sent after the time-out, twice, by another user', promised: 'ACK_TIMEOUT at 5 s; the others have no effect and are counted' },
  C4: { fault: 'a push is made twice at once', done: 'two calls with one msg_id', promised: 'written once, both callers answered' },
  C5: { fault: 'a device moves while its old socket is noticed late', done: 'connects, moves, cuts, half-open sockets and kills, seeded', promised: 'no live key is missing, no key and no socket outlives the other' },
  C6: { fault: 'clients close while they are registered', done: '10,000 connections, reset or ended at any moment from the request to the welcome', promised: 'no orphan key after 1 s' },
  N1: { fault: 'a gateway is killed', done: '`kill -9` under load', promised: 'its keys are gone at the TTL + 2 s; pushes to it fail at once; nothing acknowledged is lost' },
  N2: { fault: 'gateways are restarted one after the other', done: 'SIGTERM under load, with a silent client', promised: 'each ends with 0 in time; nothing is lost; closes are paced; no key is left' },
  N3: { fault: 'a second SIGTERM; a SIGTERM during the start', done: 'signals', promised: 'it ends within 1 s' },
  N4: { fault: 'the event loop stalls', done: 'SIGSTOP and SIGCONT, for less and for more than the heartbeat time-out', promised: 'nobody is closed for it; newcomers are refused until it has caught up' },
  N5: { fault: 'memory runs short', done: 'a control group as small as a container; 40 clients stop reading and are sent more than it has room for', promised: 'upgrades are refused, the slowest readers closed; no kill; who reads stays; newcomers are let in again within 70 s of there being room' },
  N6: { fault: 'the wall clock jumps by an hour', done: 'the clock of the running processes set an hour ahead, an hour back and right again', promised: 'nobody is closed for it, no lease is called lost' },
  N7: { fault: 'descriptors run out', done: '`prlimit --nofile` of the running process, 200 connections where there are files for 20', promised: '503 at the cap; past it newcomers are reset; who is in is served; the process lives and recovers' },
  F1: { fault: 'malformed frames and random JSON', done: '10,000 of each on raw sockets, seeded', promised: 'closed with the right codes; the p99 of a neighbour grows by a tenth and 50 ms (--long: 5 ms) at most; fewer than 500 metric series' },
  F2: { fault: 'hostile and slow upgrades', done: '19 cases, and 1,000 sockets that drip, on raw sockets', promised: 'answered or destroyed; every file freed within 6 s' },
  F3: { fault: 'floods of pings, pongs, fragments and acks', done: 'raw sockets', promised: 'closed; at most 20 MiB more memory' },
  T1: { fault: 'everybody reconnects at once', done: '`kill -9` of the node that all are on, two others there', promised: '99 % are back within 60 s; all gaps are reported' },
  T2: { fault: 'all connections are cut every 10 s', done: 'connections through proxies cut, for 20 minutes with --long', promised: 'everybody comes back and misses nothing; nothing is left of the old ones' },
  L1: { fault: 'three nodes are restarted, then killed, one after the other', done: 'SIGTERM and a new start of each; then `kill -9` and a new start of each; more than 25,000 messages during either', promised: 'nothing that was acknowledged is lost, shown twice or out of order' },
  T3: { fault: 'faults at random, one each 30 s', done: 'traffic at half load, 16 faults drawn by a seed, invariants asserted after each', promised: 'nothing acknowledged is lost, all invariants hold; the heap grows by less than 1 % an hour' }
} as const satisfies Readonly<Record<string, Fault>>

export type RowId = keyof typeof FAULTS
